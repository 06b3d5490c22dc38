package tests

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// What git dislikes about objects, and how sould takes it: as "git clone" does, unless it
// endangers those who check it out.

// dangerousOdds are those of origin.Odds that are refused.
var dangerousOdds = []string{
	"fullPathname2", "fullPathname3", "fullPathname4", "fullPathname5",
	"gitmodulesBlob", "gitmodulesName", "gitmodulesPath", "gitmodulesSymlink", "gitmodulesUpdate", "gitmodulesUrl",
	"hasDot", "hasDotdot", "hasDotgit", "hasDotgit2",
}

// messageOf is what git calls what is odd about one of origin.Odds.
func messageOf(odd string) string {
	if odd == "nullSha1" {
		return odd
	}
	return strings.TrimRight(odd, "0123456789")
}

// setOdd makes a ref of an odd object.
func setOdd(r *origin.Repo, odd string) (ref, id string) {
	id = r.Odd(odd)
	ref = "refs/heads/odd"
	if r.Git("cat-file", "-t", id) == "tag" {
		ref = "refs/tags/odd"
	}
	r.Git("update-ref", ref, id)
	return ref, id
}

func TestFieldOddObjects(t *testing.T) {
	t.Parallel()
	d := start(t)
	for _, odd := range origin.Odds() {
		if odd == "gitattributesLarge" {
			continue // a hundred megabytes; the tests of internal/git have it
		}
		for _, when := range []string{"first", "later"} {
			t.Run(odd+"/"+when, func(t *testing.T) {
				t.Parallel()
				r := newOrigin(t)
				name := "odd/" + odd + "/" + when
				if when == "later" {
					d.pulled(name, r.Dir)
				}
				ref, id := setOdd(r, odd)
				tip := r.Commit("main", map[string]string{"file": "2"})
				if slices.Contains(dangerousOdds, odd) {
					d.refuses(t, name, r, ref, id, messageOf(odd), tip)
				} else {
					d.takes(t, name, r, ref, id, messageOf(odd), tip)
				}
			})
		}
	}
}

// takes posts for an origin with an odd object that is harmless.
func (d *daemon) takes(t *testing.T, name string, r *origin.Repo, ref, id, message, tip string) {
	t.Helper()
	d.post(name, r.Dir).expect(t, 200)
	d.get("/"+name).expect(t, 200, "X-State", "success", "X-Revision", tip)
	if got, want := refs(t, d.mirror(name)), refs(t, r.Dir); got != want {
		t.Errorf("the mirror has\n%sthe origin\n%s", got, want)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	if out, err := origin.Command("clone", "-q", "--mirror", d.url+"/"+name, clone).CombinedOutput(); err != nil {
		t.Errorf("a clone of the mirror: %v\n%s", err, out)
	}
	if message == "extraHeaderEntry" {
		return // of which git says nothing
	}
	m := d.status("&name=" + name).Mirrors[0]
	if len(m.Warnings) != 1 || m.Warnings[0].ID != message || m.Warnings[0].Count < 1 || len(m.Warnings[0].Object) != 40 {
		t.Errorf("the status has the warnings %+v", m.Warnings)
	}
	d.get("/x/status?name="+name).expect(t, 200).contains(t, "warnings\n", message+": ")
	d.get("/x/status?format=toml&name="+name).expect(t, 200).contains(t, message)
}

// refuses posts for an origin with an odd object that is dangerous, and with a new commit
// that is not.
func (d *daemon) refuses(t *testing.T, name string, r *origin.Repo, ref, id, message, tip string) {
	t.Helper()
	for _, again := range []string{"at first", "again"} {
		a := d.post(name, r.Dir)
		a.expect(t, 500).contains(t, "refused 1 of 2 refs, which stay as they were", ref+" leads to object ", message)
		d.get("/"+name).expect(t, 200, "X-State", "failed", "X-Revision", tip)
		if got, want := refs(t, d.mirror(name)), "refs/heads/main "+tip+"\n"; got != want {
			t.Errorf("%s: the mirror has\n%snot\n%s", again, got, want)
		}
		d.get("/"+name+"?ref="+id).expect(t, 404)
		d.get("/"+name+"?ref=odd").expect(t, 404)
	}
	if m := d.status("&name=" + name).Mirrors[0]; m.State != "failed" || !strings.Contains(m.Error, ref) || !strings.Contains(m.Error, message) || len(m.Warnings) > 0 {
		t.Errorf("the status is %+v", m)
	}
	tip = r.Commit("main", map[string]string{"file": "3"})
	d.post(name, r.Dir).expect(t, 500).contains(t, ref)
	d.get("/"+name).expect(t, 200, "X-Revision", tip)
	r.Git("update-ref", "-d", ref)
	d.post(name, r.Dir).expect(t, 200)
	d.get("/"+name).expect(t, 200, "X-State", "success", "X-Revision", tip)
}

// TestFieldRefusedRefsStay: a branch that becomes dangerous is what it was, what else leads
// to the object is refused as well, and the branches that do not are pulled.
func TestFieldRefusedRefsStay(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	first := r.Git("rev-parse", "main")
	side := r.Commit("side", map[string]string{"file": "side"})
	d := start(t)
	d.pulled("m", r.Dir)
	evil := r.Odd("hasDotgit")
	onTop := r.CommitTree(r.Git("rev-parse", "main^{tree}"), first, evil)
	r.Git("update-ref", "refs/heads/main", onTop)
	r.Git("update-ref", "refs/heads/new", evil)
	r.Git("tag", "-a", "-m", "m", "v1", onTop)
	r.Git("tag", "v0", first)
	next := r.Commit("side", map[string]string{"file": "next"})
	a := d.post("m", r.Dir)
	a.expect(t, 500).contains(t, "refused 3 of 5 refs", "refs/heads/main leads to", "refs/heads/new leads to", "refs/tags/v1 leads to", "hasDotgit")
	want := "refs/heads/main " + first + "\nrefs/heads/side " + next + "\nrefs/tags/v0 " + first + "\n"
	if got := refs(t, d.mirror("m")); got != want || side == next {
		t.Errorf("the mirror has\n%s", got)
	}
	d.get("/m").expect(t, 200, "X-State", "failed", "X-Revision", first)
	rep := d.do("POST", "/", form("m", r.Dir), "Content-Type", formType, "Accept", "application/json").expect(t, 500).report(t)
	if rep.State != "failed" || rep.Revision != first || rep.RefsChanged != 0 || !strings.Contains(rep.Error, "refs/heads/new") {
		t.Errorf("as JSON: %+v", rep)
	}
	d.fsck("m")

	// After a restart it is found out again.
	d.stop()
	d.run()
	d.post("m", r.Dir).expect(t, 500).contains(t, "refused 3 of 5 refs")
	if got := refs(t, d.mirror("m")); got != want {
		t.Errorf("after a restart the mirror has\n%s", got)
	}
}

// TestFieldNothingButDanger makes no mirror.
func TestFieldNothingButDanger(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	r.Git("update-ref", "refs/heads/main", r.Odd("gitmodulesUrl"))
	d := start(t)
	for range 2 {
		d.post("m", r.Dir).expect(t, 500).contains(t, "refused 1 of 1 refs", "refs/heads/main", "gitmodulesUrl")
		d.get("/m").expect(t, 404)
	}
}

// TestFieldFsckKey: the key says how strictly, and a reload applies it.
func TestFieldFsckKey(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	_, evil := setOdd(r, "gitmodulesUrl")
	odd := r.Odd("duplicateEntries")
	r.Git("update-ref", "refs/heads/older", odd)
	d := start(t, `fsck = "strict"`)
	d.post("m", r.Dir).expect(t, 500).contains(t, "refused 2 of 3 refs", "gitmodulesUrl", "duplicateEntries")
	d.get("/m?ref=older").expect(t, 404)
	d.reload(`fsck = "default"`)
	d.post("m", r.Dir).expect(t, 500).contains(t, "refused 1 of 3 refs", "gitmodulesUrl")
	d.get("/m?ref=older").expect(t, 200, "X-Revision", odd)
	d.reload(`fsck = "off"`)
	d.post("m", r.Dir).expect(t, 200)
	d.get("/m?ref=odd").expect(t, 200, "X-Revision", evil)
	d.reload(`fsck = "default"`)
	d.post("m", r.Dir).expect(t, 200) // it is there
	d.get("/m?ref=odd").expect(t, 200, "X-Revision", evil)

	d.configure(`fsck = "yes"`)
	d.signal(syscall.SIGHUP)
	d.wait(`fsck\n.*must be "default", "strict" or "off", not "yes"`)
}

// TestFieldOddObjectsAreNoDamage: not in a check, not when a mirror is copied in or built
// anew.
func TestFieldOddObjectsAreNoDamage(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	var messages []string
	for _, odd := range origin.Odds() {
		if odd != "gitattributesLarge" && odd != "extraHeaderEntry" && !slices.Contains(dangerousOdds, odd) {
			if ref, _ := setOdd(r, odd); !slices.Contains(messages, messageOf(odd)) {
				messages = append(messages, messageOf(odd))
				r.Git("update-ref", strings.Replace(ref, "odd", odd, 1), ref)
			}
		}
	}
	r.Git("update-ref", "-d", "refs/heads/odd")
	r.Git("update-ref", "-d", "refs/tags/odd")
	evil := r.Odd("gitmodulesUrl")
	r.Git("update-ref", "refs/heads/evil", r.Git("rev-parse", "main"))
	d := start(t)
	d.pulled("m", r.Dir)
	d.pulled("copied", r.Dir)
	d.stop()
	if err := os.Remove(filepath.Join(d.mirror("copied"), "sould.json")); err != nil {
		t.Fatal(err)
	}
	d.configure(`check = "2s"`)
	d.run()
	for _, name := range []string{"m", "copied"} {
		d.wait(`INFO checked mirror=` + name)
		m := d.status("&name=" + name).Mirrors[0]
		if m.CheckError != "" || m.Mended != 0 || len(m.Warnings) != min(len(messages), 20) {
			t.Errorf("the status of %s: %+v; messages are %q", name, m, messages)
		}
		for _, w := range m.Warnings {
			if !slices.Contains(messages, w.ID) {
				t.Errorf("%s: a warning %+v", name, w)
			}
		}
	}

	// One that is built anew takes them, too, and what is refused stays as it was.
	main := r.Git("rev-parse", "main")
	r.Git("update-ref", "refs/heads/evil", evil)
	d.post("m", r.Dir).expect(t, 500).contains(t, "refs/heads/evil")
	d.reload(`check = "1000h"`)
	d.garble("m")
	d.get("/m") // which may fail
	d.get("/m?ref=duplicateEntries")
	d.reload(`check = "2s"`)
	eventually(t, "it is mended", func() bool { return d.status("&name=m").Mirrors[0].Mended != 0 })
	d.get("/m?ref=evil").expect(t, 200, "X-Revision", main)
	d.get("/m?ref=duplicateEntries").expect(t, 200)
	d.post("m", r.Dir).expect(t, 500).contains(t, "refs/heads/evil")
	r.Git("update-ref", "-d", "refs/heads/evil")
	d.pulled("m", r.Dir)
	if got, want := refs(t, d.mirror("m")), refs(t, r.Dir); got != want {
		t.Errorf("the mirror has\n%sthe origin\n%s", got, want)
	}
}

// TestFieldDangerFromAPeer: what comes from another server is looked at like what comes from
// an origin.
func TestFieldDangerFromAPeer(t *testing.T) {
	t.Parallel()
	r, _, url := served(t)
	main := r.Git("rev-parse", "main")
	_, _ = setOdd(r, "hasDotgit")
	r.Git("update-ref", "refs/heads/older", r.Odd("treeNotSorted"))
	a := start(t, `fsck = "off"`)
	a.pulled("m", url)
	b := cutOff(t, peers(a.url))
	b.post("m", url).expect(t, 500).contains(t, "refused 1 of 3 refs", "refs/heads/odd leads to", "hasDotgit")
	b.get("/m").expect(t, 200, "X-Revision", main)
	b.get("/m?ref=older").expect(t, 200)
	b.get("/m?ref=odd").expect(t, 404)
}

// TestFieldRefusalInACluster: the master and its slaves say it, and the reason stands once.
func TestFieldRefusalInACluster(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	_, _ = setOdd(r, "hasDotdot")
	strict, lax := start(t), start(t, `fsck = "off"`)
	master := start(t, "master = true", slaves(strict.url, lax.url))
	a := master.post("m", r.Dir)
	a.expect(t, http.StatusBadGateway).contains(t, "├─ master, slave "+strings.TrimPrefix(strict.url, "http://")+"\n", "hasDotdot", "pulled: "+strings.TrimPrefix(lax.url, "http://"))
	for _, d := range []*daemon{master, strict, lax} {
		d.get("/m").expect(t, 200, "X-Revision", r.Git("rev-parse", "main"))
	}
	s := master.status("&name=m")
	if len(s.Upstream.Slaves) != 2 {
		t.Errorf("%+v", s)
	}
}

// TestFieldOddObjectsCostNothing: a POST with one commit starts as many processes as ever.
func TestFieldOddObjectsCostNothing(t *testing.T) {
	r := newOrigin(t)
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.pulled("m", r.Dir)
	for _, files := range []string{"2", "3"} {
		before := calls()
		r.Commit("main", map[string]string{"file": files})
		d.pulled("m", r.Dir)
		if n := calls() - before; n > 3 { // the list, the objects, and whether history goes on
			t.Errorf("a POST with one commit starts git %d times", n)
		}
	}
}

// TestFieldOriginsOfFiles: git checks nothing of what comes from a server of files (dumb http), in packs
// or loose, at first or later. So what has come is checked when it is here.
func TestFieldOriginsOfFiles(t *testing.T) {
	t.Parallel()
	for _, packed := range []bool{true, false} {
		root := t.TempDir()
		r := origin.New(t, filepath.Join(root, "r.git"))
		publish := func() {
			t.Helper()
			if packed {
				r.Git("repack", "-dq")
			}
			r.Git("update-server-info")
		}
		main := r.Commit("main", map[string]string{"file": "1"})
		first, bad := setOdd(r, "hasDotgit")
		publish()
		url := origin.ServeDumb(t, root) + "/r.git"
		d := start(t)
		check := func(when, ref string) {
			t.Helper()
			d.post("m", url).expect(t, 500).contains(t, "refused 1 of ", ref+" leads to object ", "hasDot")
			if got, want := refs(t, d.mirror("m")), "refs/heads/main "+main+"\n"; got != want {
				t.Errorf("packed: %v, %s: the mirror has\n%snot\n%s", packed, when, got, want)
			}
			d.get("/m").expect(t, 200, "X-Revision", main)
			d.get("/m?ref=odd").expect(t, 404)
			d.get("/m?ref="+bad).expect(t, 404) // nor is it there by its id
			d.fsck("m")
		}
		check("at first", first)
		main = r.Commit("main", map[string]string{"file": "2"})
		publish()
		check("with something new", first)
		r.Git("update-ref", "-d", first)
		publish()
		d.post("m", url).expect(t, 200)
		var later string
		later, bad = setOdd(r, "hasDotdot")
		publish()
		check("later", later)

		r.Git("update-ref", "-d", later)
		_, id := setOdd(r, "duplicateEntries")
		publish()
		d.post("m", url).expect(t, 200)
		if m := d.status("&name=m").Mirrors[0]; len(m.Warnings) != 1 || m.Warnings[0].ID != "duplicateEntries" {
			t.Errorf("packed: %v: the status has the warnings %+v", packed, m.Warnings)
		}
		d.get("/m?ref="+id).expect(t, 200)
	}
}
