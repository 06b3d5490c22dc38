package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// kept are a mirror's kept refs: what they were called, and their ids.
func (d *daemon) kept(name string) string {
	d.t.Helper()
	out, err := origin.Command("--git-dir="+d.mirror(name), "for-each-ref", "--format=%(refname) %(objectname)", "refs/sould").CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
	return regexp.MustCompile(`(?m)^refs/sould/kept/[0-9]+(-[0-9]+)?/`).ReplaceAllString(string(out), "")
}

func TestWhatTheOriginTakesAwayIsKept(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	first := r.Git("rev-parse", "main")
	second := r.Commit("main", map[string]string{"file": "2"})
	side := r.Commit("side", map[string]string{"file": "side"})
	r.Git("branch", "merged", first)
	r.Git("tag", "light", first)
	r.Git("-c", "user.name=T", "-c", "user.email=t@example.org", "tag", "-a", "-m", "words", "full", second)
	tag := r.Git("rev-parse", "full")
	d.pulled("m", r.Dir)

	third := r.Commit("main", map[string]string{"file": "3"}) // fast-forward
	d.pulled("m", r.Dir)
	if got := d.kept("m"); got != "" {
		t.Errorf("after a fast-forward are kept:\n%s", got)
	}

	r.Git("update-ref", "refs/heads/main", side) // a force push
	r.Git("update-ref", "-d", "refs/heads/side")
	r.Git("update-ref", "-d", "refs/heads/merged")
	r.Git("update-ref", "refs/tags/light", second)
	r.Git("update-ref", "-d", "refs/tags/full")
	d.pulled("m", r.Dir)
	want := fmt.Sprintf("heads/main %s\nheads/merged %s\nheads/side %s\ntags/full %s\ntags/light %s\n", third, first, side, tag, first)
	if got := d.kept("m"); got != want {
		t.Errorf("kept are:\n%swant\n%s", got, want)
	}
	if got, want := refs(t, d.mirror("m")), refs(t, r.Dir); got != want {
		t.Errorf("the mirror has\n%sthe origin\n%s", got, want)
	}
	d.get("/m").expect(t, 200, "X-Revision", side)
	if files := d.get("/m?ref=" + third).files(t); files["file"] != "3" {
		t.Errorf("the lost commit holds %v", files)
	}
	d.get("/m?ref=refs/sould/kept").expect(t, 404)

	// The same after a restart, and no second time.
	d.stop()
	d.run()
	d.pulled("m", r.Dir).contains(t, "unchanged")
	if got := d.kept("m"); got != want {
		t.Errorf("after a restart are kept:\n%s", got)
	}
	if out, err := origin.Command("--git-dir="+d.mirror("m"), "-c", "gc.pruneExpire=now", "gc", "--quiet", "--prune=now").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d.get("/m?ref="+third).expect(t, 200)
	d.fsck("m")
}

func TestAcceptedDeletionsAreKept(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	main := r.Git("rev-parse", "main")
	d.pulled("m", r.Dir)
	r.Git("update-ref", "-d", "refs/heads/main")
	d.post("m", r.Dir).expect(t, 500).contains(t, "accept=deletions")
	if got := d.kept("m"); got != "" {
		t.Errorf("a refused pull has kept\n%s", got)
	}
	d.pulled("m", r.Dir, "accept", "deletions")
	if told := d.status("&name=m").Mirrors[0].Kept; len(told) != 1 || told[0].Ref != "refs/heads/main" || told[0].Commit != main || told[0].Date == 0 {
		t.Errorf("the status tells of %+v", told)
	}
	d.get("/x/status?name=m").contains(t, "kept", "refs/heads/main: "+main+", lost ")
	if told := d.status("").Mirrors[0].Kept; told != nil {
		t.Errorf("the status of all tells of %+v", told)
	}
	if got := d.kept("m"); got != "heads/main "+main+"\n" {
		t.Errorf("kept are\n%s", got)
	}
	d.get("/m").expect(t, 409)
	d.get("/m?ref=main").expect(t, 409)
	for _, format := range []string{"tar", "tar.gz", "zip"} {
		d.get("/m?ref="+main+"&format="+format).expect(t, 200, "X-Revision", main)
	}
	if files := d.get("/m?ref=" + main + "&path=file&contains=" + main).files(t); files["file"] != "1" {
		t.Errorf("the lost commit holds %v", files)
	}
	d.get("/m?ref="+strings.Repeat("7", 40)).expect(t, 404)
	d.get("/m?ref="+strings.Repeat("7", 64)).expect(t, 404)
}

// TestADetachedHeadIsKept: its commit may have no other name.
func TestADetachedHeadIsKept(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	first := r.Git("rev-parse", "main")
	r.Git("tag", "blob", "main:file") // has no history
	alone := r.Commit("side", map[string]string{"file": "alone"})
	r.Git("update-ref", "--no-deref", "HEAD", alone)
	r.Git("update-ref", "-d", "refs/heads/side")
	d := start(t)
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 200, "X-Revision", alone)

	// By itself, without a change of any ref.
	r.Git("update-ref", "--no-deref", "HEAD", first)
	d.pulled("m", r.Dir)
	want := "sould/HEAD " + alone + "\n"
	if got := d.kept("m"); got != want {
		t.Errorf("kept are\n%swant\n%s", got, want)
	}
	if told := d.status("&name=m").Mirrors[0].Kept; len(told) != 1 || told[0].Ref != "HEAD" || told[0].Commit != alone {
		t.Errorf("the status tells of %+v", told)
	}
	d.get("/m?ref="+alone).expect(t, 200)
	d.stop()
	d.run()
	d.pulled("m", r.Dir).contains(t, "unchanged")

	// What a branch has in its history has a name still.
	second := r.Commit("main", map[string]string{"file": "2"})
	r.Git("update-ref", "--no-deref", "HEAD", second)
	d.pulled("m", r.Dir)
	r.Git("update-ref", "--no-deref", "HEAD", first)
	d.pulled("m", r.Dir)
	r.Git("symbolic-ref", "HEAD", "refs/heads/main")
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 200, "X-Revision", second)
	if got := d.kept("m"); got != want {
		t.Errorf("kept are\n%swant\n%s", got, want)
	}
	d.fsck("m")
}

// TestKeptInAnotherFormat: an empty mirror can become one of another kind of ids, but not
// if that would take away what it keeps.
func TestKeptInAnotherFormat(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "r.git")
	r := origin.New(t, dir)
	main := r.Commit("main", map[string]string{"file": "1"})
	d := start(t)
	d.pulled("m", dir)
	r.Git("update-ref", "-d", "refs/heads/main")
	d.pulled("m", dir, "accept", "deletions")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	origin.New(t, dir, "--object-format=sha256").Commit("main", nil)
	d.post("m", dir).expect(t, 500).contains(t, "object format")
	d.get("/m?ref="+main).expect(t, 200)
}

func TestKeptInOneSecondAndLetGo(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	want := make(map[string]bool)
	for i := range 4 { // "a" and "a/b" in turn, as fast as it goes
		name := strings.Repeat("a/", i%2) + "a"
		id := r.Commit(name, map[string]string{"file": fmt.Sprint(i)})
		d.pulled("m", r.Dir)
		r.Git("update-ref", "-d", "refs/heads/"+name)
		d.pulled("m", r.Dir)
		want["heads/"+name+" "+id] = true
	}
	got := strings.Split(strings.TrimSpace(d.kept("m")), "\n")
	for _, line := range got {
		delete(want, line)
	}
	if len(got) != 4 || len(want) != 0 {
		t.Errorf("kept are %q, not %v", got, want)
	}
	d.fsck("m")
	d.reload(`keep = "1s"`, `maintenance = false`) // without a pull
	eventually(t, "nothing is kept any more", func() bool { return d.kept("m") == "" })
	d.fsck("m")
	d.reload()
	r.Git("branch", "again", "main")
	d.pulled("m", r.Dir)
	r.Git("branch", "-D", "again")
	d.pulled("m", r.Dir)
	if got := d.kept("m"); !strings.HasPrefix(got, "heads/again ") {
		t.Errorf("kept are\n%s", got)
	}
	d.reload(`keep = "0"`)
	r.Commit("main", map[string]string{"file": "next"})
	d.pulled("m", r.Dir)
	if got := d.kept("m"); got != "" {
		t.Errorf("with keep = 0 are kept:\n%s", got)
	}
}

// TestLetGoAfterARestart: of a mirror that nobody asks for, and without a pull or a repack.
func TestLetGoAfterARestart(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	main := r.Git("rev-parse", "main")
	d := start(t)
	for _, name := range []string{"m", "pool/n"} {
		d.pulled(name, r.Dir)
	}
	d.stop()
	for _, name := range []string{"m", "pool/n"} {
		d.keepMore(name, main, 3)
	}
	d.configure(`keep = "1s"`, `maintenance = false`)
	d.run()
	for _, name := range []string{"m", "pool/n"} {
		eventually(t, "nothing is kept any more", func() bool { return d.kept(name) == "" })
		d.fsck(name)
	}
	d.get("/m").expect(t, 200, "X-Revision", main)
}

// keepMore writes more kept refs into a mirror of a daemon that does not run: values of a
// tag that was moved each second, up to now.
func (d *daemon) keepMore(name, id string, n int) {
	d.t.Helper()
	path := filepath.Join(d.mirror(name), "packed-refs")
	text, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	now := time.Now().Unix()
	for i := range n {
		lines = append(lines, fmt.Sprintf("%s refs/sould/kept/%d/tags/latest", id, now-int64(i)))
	}
	slices.SortFunc(lines[1:], func(a, b string) int { // by name
		return strings.Compare(a[strings.Index(a, " "):], b[strings.Index(b, " "):])
	})
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// TestHelpOfAPeerThatHasKeptMuch: what it keeps is nothing to another server, and would be
// more than that one reads.
func TestHelpOfAPeerThatHasKeptMuch(t *testing.T) {
	t.Parallel()
	const many = 15_000
	r, _, url := served(t)
	a := start(t)
	a.pulled("m", url)
	a.stop()
	a.keepMore("m", r.Git("rev-parse", "main"), many)
	a.run()
	if told := a.status("&name=m").Mirrors[0].Kept; len(told) != many {
		t.Errorf("the status tells of %d", len(told))
	}
	tag := a.get("/x/status?name=m").Header.Get("Etag")
	for _, header := range []string{"Sould-Via", "Sould-Peer"} {
		other := a.get("/x/status?name=m", header, "another").expect(t, 200)
		if strings.Contains(other.text(), "kept") || other.Header.Get("Etag") == tag {
			t.Errorf("another server is told, by %s, with the ETag %s of %s:\n%.500s", header, other.Header.Get("Etag"), tag, other.text())
		}
	}
	b := cutOff(t, peers(a.url))
	b.pulled("m", url)
	master := start(t, "master = true", slaves(a.url))
	master.pulled("m", url)
	if told := master.status("&name=m").Upstream; told.Error != 0 {
		t.Errorf("the master tells of its slave: %+v", told)
	}
}

// TestKeptRefsAreBounded: of a tag that moves all the time only so many values are kept.
func TestKeptRefsAreBounded(t *testing.T) {
	t.Parallel()
	const bound = 1000
	r := newOrigin(t)
	first := r.Git("rev-parse", "main")
	second := r.Commit("main", map[string]string{"file": "2"})
	r.Git("tag", "latest", second)
	d := start(t)
	d.pulled("m", r.Dir)
	d.stop()
	d.keepMore("m", first, bound+7)
	d.run()
	third := r.Commit("main", map[string]string{"file": "3"})
	r.Git("tag", "-f", "latest", third)
	d.pulled("m", r.Dir)
	r.Git("tag", "-d", "latest")
	d.pulled("m", r.Dir)
	kept := d.kept("m")
	for id, want := range map[string]int{first: bound - 2, second: 1, third: 1} {
		if n := strings.Count(kept, "tags/latest "+id+"\n"); n != want {
			t.Errorf("%s is kept %d times, not %d", id, n, want)
		}
	}
	d.wait(`WARN too many refs are retained; the oldest are removed early mirror=m refs=8`)
	d.fsck("m")
}
