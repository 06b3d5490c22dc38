package tests

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// TestNothingNew: pulls that bring nothing new write only dates. They survive a kill, and hide
// nothing that somebody has done to the mirror meanwhile.
func TestNothingNew(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	first := r.Commit("main", map[string]string{"f": "1"})
	tip := r.Commit("main", map[string]string{"f": "2"})
	url := origin.ServeHTTP(t, root).URL + "/r.git"
	d := start(t)
	d.pulled("m", url)
	file := filepath.Join(d.mirror("m"), "sould.json")
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	date := d.get("/m").Header.Get("X-Date")
	eventually(t, "a later date", func() bool { d.pulled("m", url); return d.get("/m").Header.Get("X-Date") != date })
	date = d.get("/m").Header.Get("X-Date")
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) {
		t.Errorf("the state file was replaced: %v", err)
	}

	d.kill()
	if err := os.Rename(r.Dir, r.Dir+".away"); err != nil {
		t.Fatal(err)
	}
	d.run()
	d.get("/m").expect(t, 200, "X-State", "failed", "X-Date", date, "X-Revision", tip)
	if err := os.Rename(r.Dir+".away", r.Dir); err != nil {
		t.Fatal(err)
	}
	d.pulled("m", url)

	// The origin's answer is the same, and the mirror is not.
	for what, change := range map[string]func(){
		"a ref was moved":    func() { git(t, d.mirror("m"), "update-ref", "refs/heads/main", first) },
		"a ref was removed":  func() { git(t, d.mirror("m"), "update-ref", "-d", "refs/heads/main") },
		"a branch was added": func() { git(t, d.mirror("m"), "update-ref", "refs/heads/by/hand", first) },
		"HEAD was changed":   func() { git(t, d.mirror("m"), "symbolic-ref", "HEAD", "refs/heads/other") },
	} {
		change()
		d.pulled("m", url)
		if refs := git(t, d.mirror("m"), "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads"); refs != "refs/heads/main "+tip {
			t.Errorf("%s: the mirror has %q", what, refs)
		}
		if head := git(t, d.mirror("m"), "symbolic-ref", "HEAD"); head != "refs/heads/main" {
			t.Errorf("%s: HEAD is %q", what, head)
		}
		d.pulled("m", url)
	}
	for name, change := range map[string]func(pack string) error{
		"cut":     func(pack string) error { return os.Truncate(pack, 40) },
		"removed": os.Remove,
	} {
		packs, err := filepath.Glob(filepath.Join(d.mirror("m"), "objects", "pack", "*.pack"))
		if err != nil || len(packs) == 0 {
			t.Fatal(packs, err)
		}
		for _, pack := range packs {
			if err := change(pack); err != nil {
				t.Fatal(err)
			}
		}
		d.pulled("m", url)
		if out := git(t, d.mirror("m"), "rev-list", "--objects", "--all"); out == "" {
			t.Errorf("packs were %s, and the mirror has no objects after a 200", name)
		}
	}
}
