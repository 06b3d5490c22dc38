package tests

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

func TestDefaultBranch(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	d := start(t)

	// An empty origin is no failure, and no content.
	d.pulled("m", r.Dir).contains(t, "empty", "unchanged")
	d.get("/m").expect(t, 409, "X-State", "success").contains(t, "no commits yet")
	d.get("/m?ref=main").expect(t, 409)

	// HEAD names main, but only dev was pushed: the only branch.
	dev := r.Commit("dev", map[string]string{"f": "dev"})
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 200, "X-Revision", dev)

	// master and others: the one from before stays.
	master := r.Commit("master", map[string]string{"f": "master"})
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 200, "X-Revision", dev)
	d.pulled("other", r.Dir) // the same origin under another name, without a past
	d.get("/other").expect(t, 200, "X-Revision", master)

	// HEAD names a branch again.
	main := r.Commit("main", map[string]string{"f": "main"})
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 200, "X-Revision", main)

	// Detached: its commit, also if no branch leads there.
	lost := r.Commit("lost", map[string]string{"f": "lost"})
	r.Git("update-ref", "--no-deref", "HEAD", lost)
	r.Git("update-ref", "-d", "refs/heads/lost")
	d.pulled("m", r.Dir).contains(t, lost[:12])
	d.get("/m").expect(t, 200, "X-Revision", lost)
	d.stop()
	d.run()
	d.get("/m").expect(t, 200, "X-Revision", lost)

	// And back. No branch of those that are known: one must be named.
	r.Git("symbolic-ref", "HEAD", "refs/heads/none")
	for _, name := range []string{"main", "master"} {
		r.Git("branch", "-m", name, "x-"+name)
	}
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 404).contains(t, "?ref=")
	d.get("/m?ref=x-main").expect(t, 200, "X-Revision", main)
	d.fsck("m")
}

func TestSHA256(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r.git")
	r := origin.New(t, dir, "--object-format=sha256")
	d := start(t)
	d.pulled("m", dir) // empty: of which format, nobody can tell
	first := r.Commit("main", map[string]string{"f": "1"})
	d.pulled("m", dir)
	d.get("/m").expect(t, 200, "X-Revision", first)
	second := r.Commit("main", map[string]string{"f": "2"})
	d.pulled("m", dir)
	d.get("/m?ref="+second+"&contains="+first).expect(t, 200, "X-Revision", second)
	d.get("/m?ref="+second[:40]).expect(t, 404) // a full id elsewhere, the beginning of one here
	d.get("/m?contains="+first[:40]).expect(t, 412)
	d.fsck("m")

	// An origin that has changed its format under a mirror with content.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	origin.New(t, dir).Commit("main", nil)
	d.post("m", dir).expect(t, 500).contains(t, "object format")
	d.get("/m").expect(t, 200, "X-Revision", second, "X-State", "failed")
}

func TestConfiguredRefs(t *testing.T) {
	r := newOrigin(t)
	main := r.Git("rev-parse", "main")
	for _, name := range []string{"refs/pull/1/head", "refs/pull/1/merge", "refs/sould/x", "refs/notes/x", "refs/replace/" + main} {
		r.Git("update-ref", name, main)
	}
	d := start(t, `refs = ["refs/*"]`)
	d.pulled("all", r.Dir)
	if got := refs(t, d.mirror("all")); strings.Contains(got, "sould") || strings.Contains(got, "replace") || strings.Count(got, "\n") != 4 {
		t.Errorf("refs/* took\n%s", got)
	}
	d.reload(`refs = ["refs/heads/*", "refs/pull/*/head"]`)
	d.pulled("some", r.Dir)
	if got := refs(t, d.mirror("some")); strings.Count(got, "\n") != 2 || !strings.Contains(got, "refs/pull/1/head") {
		t.Errorf("two patterns took\n%s", got)
	}
	d.pulled("all", r.Dir) // what is selected no more is left alone
	if got := refs(t, d.mirror("all")); strings.Count(got, "\n") != 4 {
		t.Errorf("other patterns left\n%s", got)
	}
	d.reload(`refs = ["refs/heads/release/*"]`) // the default branch is not among them
	d.pulled("none", r.Dir).contains(t, "empty")
	d.get("/none").expect(t, 409)
}

// TestClockSetBack has a mirror whose last pull lies in the future.
func TestClockSetBack(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	d.stop()
	path := filepath.Join(d.mirror("m"), "sould.json")
	if err := os.WriteFile(path, []byte(fmt.Sprintf(`{"origin":%q,"outcome":"success","pulled":"2099-01-01T00:00:00Z"}`, r.Dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	tip := r.Commit("main", map[string]string{"f": "2"})
	d.run()
	d.get("/m").expect(t, 200, "X-State", "success", "X-Revision", tip)
	if date := d.get("/m").Header.Get("X-Date"); strings.Contains(date, "2099") {
		t.Errorf("X-Date is %s after a pull", date)
	}
}

func TestStateFileIsPrivate(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	info, err := os.Stat(filepath.Join(d.mirror("m"), "sould.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(d.mirror("m"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "HEAD config objects packed-refs refs sould.json" {
		t.Errorf("a mirror consists of %s", got)
	}
}

func TestMoveToANewOrigin(t *testing.T) {
	r, other := newOrigin(t), newOrigin(t)
	tip := other.Commit("main", map[string]string{"f": "moved"})
	d := start(t)
	d.pulled("m", r.Dir)
	d.post("m", other.Dir).expect(t, 409).contains(t, "move="+r.Dir)
	d.post("m", other.Dir, "move", "/somewhere/else").expect(t, 409).contains(t, "not /somewhere/else")
	d.post("m", other.Dir, "move", "ext::x").expect(t, 400)
	d.pulled("m", other.Dir, "move", "file://"+r.Dir+"/")
	d.get("/m").expect(t, 200, "X-Revision", tip)
	d.pulled("m", other.Dir, "move", r.Dir) // it has moved already
	d.post("m", r.Dir).expect(t, 409).contains(t, "move="+other.Dir)
	d.stop()
	d.run()
	d.pulled("m", other.Dir)
	// A failed move changes nothing.
	d.post("m", r.Dir+".none", "move", other.Dir).expect(t, 500)
	d.post("m", r.Dir).expect(t, 409).contains(t, "move="+other.Dir)
}

// TestOddBranches: a branch that is a link to another one, and one that names no
// commit.
func TestOddBranches(t *testing.T) {
	r := newOrigin(t)
	main := r.Git("rev-parse", "main")
	r.Git("symbolic-ref", "refs/heads/master", "refs/heads/main")
	d := start(t)
	if err := os.CopyFS(d.mirror("copy"), os.DirFS(r.Dir)); err != nil {
		t.Fatal(err)
	}
	d.pulled("copy", r.Dir)
	d.pulled("m", r.Dir)
	tip := r.Commit("main", map[string]string{"f": "2"})
	for _, name := range []string{"copy", "m"} {
		d.pulled(name, r.Dir).contains(t, "2 refs changed")
		d.get("/"+name+"?ref=master").expect(t, 200, "X-Revision", tip)
	}
	r.Git("symbolic-ref", "--delete", "refs/heads/master")
	for _, name := range []string{"copy", "m"} {
		d.pulled(name, r.Dir).contains(t, "1 ref changed")
		if got, want := refs(t, d.mirror(name)), refs(t, r.Dir); got != want {
			t.Errorf("%s has\n%sthe origin\n%s", name, got, want)
		}
	}

	r.Git("tag", "-a", "-m", "m", "v1", main)
	for name, id := range map[string]string{"tag": r.Git("rev-parse", "v1"), "blob": r.Git("rev-parse", "main:file")} {
		if err := os.WriteFile(filepath.Join(r.Dir, "refs", "heads", name), []byte(id+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.post("m", r.Dir).expect(t, 500).contains(t, "refs/heads/blob")
	d.get("/m").expect(t, 200, "X-Revision", tip)
	d.get("/m?ref=refs/heads/tag").expect(t, 404)
	d.get("/m?ref=refs/heads/blob").expect(t, 404)
	for _, name := range []string{"tag", "blob"} {
		if err := os.Remove(filepath.Join(r.Dir, "refs", "heads", name)); err != nil {
			t.Fatal(err)
		}
	}
	d.pulled("m", r.Dir)
	d.stop()
	d.run()
	d.get("/m").expect(t, 200, "X-Revision", tip)
	d.fsck("m")
}

// TestAStateThatCannotBeWritten: what readers see is what is on disk.
func TestAStateThatCannotBeWritten(t *testing.T) {
	r := newOrigin(t)
	first := r.Git("rev-parse", "main")
	d := start(t)
	d.pulled("m", r.Dir)
	state := filepath.Join(d.mirror("m"), "sould.json")
	if out, err := exec.Command("chattr", "+i", state).CombinedOutput(); err != nil {
		t.Skipf("nobody can be kept from replacing a file here: %v, %s", err, out)
	}
	release := func() error { return exec.Command("chattr", "-i", state).Run() }
	t.Cleanup(func() { _ = release() })
	r.Commit("main", map[string]string{"f": "2"})
	d.post("m", r.Dir).expect(t, 500).contains(t, "sould.json")
	onDisk := func() string { return strings.Fields(refs(t, d.mirror("m")))[1] }
	d.get("/m").expect(t, 200, "X-State", "failed", "X-Revision", onDisk())
	if err := release(); err != nil {
		t.Fatal(err)
	}
	r.Git("update-ref", "refs/heads/main", first)
	d.pulled("m", r.Dir)
	d.get("/m").expect(t, 200, "X-Revision", first)
	if onDisk() != first {
		t.Errorf("on disk is %s", onDisk())
	}
}

// TestAMirrorThatIsReplacedDuringAPull is not mixed up with its successor.
func TestAMirrorThatIsReplacedDuringAPull(t *testing.T) {
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	server := origin.ServeHTTP(t, root)
	d := start(t)
	d.pulled("m", server.URL+"/r.git")
	r.Commit("main", map[string]string{"f": "2"})
	other := newOrigin(t)
	var once sync.Once
	server.Before(func(q *http.Request) {
		if q.Method == "POST" {
			once.Do(func() {
				if err := errors.Join(os.RemoveAll(d.mirror("m")), os.CopyFS(d.mirror("m"), os.DirFS(other.Dir))); err != nil {
					t.Error(err)
				}
			})
		}
	})
	d.post("m", server.URL+"/r.git").expect(t, 500)
	if got, want := refs(t, d.mirror("m")), refs(t, other.Dir); got != want {
		t.Errorf("the new mirror has\n%swant\n%s", got, want)
	}
	d.get("/m").expect(t, 200, "X-Revision", other.Git("rev-parse", "main"))
}

// TestAMirrorThatIsReadWhileItIsCopiedIn is not taken for empty for ever.
func TestAMirrorThatIsReadWhileItIsCopiedIn(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	for _, sub := range []string{"objects", "refs"} {
		if err := os.MkdirAll(filepath.Join(d.mirror("m"), sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(d.mirror("m"), "HEAD"), []byte("ref: refs/heads/main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.get("/m").expect(t, 409)
	if out, err := exec.Command("cp", "-a", r.Dir+"/.", d.mirror("m")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	eventually(t, "the whole mirror", func() bool { return d.get("/m").Header.Get("X-Revision") == r.Git("rev-parse", "main") })
}

// TestAttributesOfTheUser have no influence on archives.
func TestAttributesOfTheUser(t *testing.T) {
	r := newOrigin(t)
	r.Commit("main", map[string]string{"a.txt": "x\n", "big": "y"})
	home := t.TempDir()
	path := filepath.Join(home, ".config", "git", "attributes")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("* text eol=crlf\nbig export-ignore\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	d := prepare(t)
	d.env = []string{"HOME=" + home}
	d.run()
	d.pulled("m", r.Dir)
	if files := d.get("/m").files(t); files["a.txt"] != "x\n" || files["big"] != "y" {
		t.Errorf("the archive holds %q", files)
	}
}
