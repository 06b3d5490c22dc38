package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatWasJustPushed can be fetched, cloned and got as an archive at once, before any hook has
// said so.
func TestWhatWasJustPushed(t *testing.T) {
	t.Parallel()
	races := 20
	if soak() {
		races = 1000
	}
	r := newOrigin(t)
	d := start(t, `retry = "1h"`) // for what a pull did not bring
	d.pulled("m", r.Dir)
	clone := d.clone("2", "m", "--bare")
	for i := range races {
		tip := r.Commit("main", map[string]string{"file": fmt.Sprint(i)})
		version := protocols[i%len(protocols)]
		var posted <-chan answer
		if i%2 == 0 { // the hook comes at the same time
			posted = d.posting("m", r.Dir)
		}
		switch i % 4 {
		case 0, 1:
			if out, err := gitClient(version, "-C", clone, "fetch", "--quiet", "origin", tip); err != nil {
				t.Errorf("protocol %s: fetch of what was just pushed: %v\n%s", version, err, out)
			}
			in(t, clone, "cat-file", "-e", tip)
		case 2:
			if got := in(t, d.clone("2", "m", "--server-option=contains="+tip), "rev-parse", "HEAD"); got != tip {
				t.Errorf("a clone that must contain %s has %s", tip, got)
			}
		case 3:
			if got := d.get("/m?contains="+tip).expect(t, 200); got.Header.Get("X-Revision") != tip {
				t.Errorf("an archive that must contain %s is of %s", tip, got.Header.Get("X-Revision"))
			}
		}
		if posted != nil {
			if got := <-posted; got.StatusCode != 200 {
				t.Error(got)
			}
		}
	}
}

// TestWhatNobodyHas is pulled for once, and refused in git's words.
func TestWhatNobodyHas(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := prepare(t, `retry = "1h"`)
	pulls := d.countCommands("ls-remote")
	d.run()
	d.pulled("m", r.Dir)
	clone := d.clone("2", "m", "--bare")
	before := pulls()
	absent := strings.Repeat("0123456789", 4)
	for range 3 {
		for _, version := range protocols {
			if out, err := gitClient(version, "-C", clone, "fetch", "origin", absent); err == nil || !strings.Contains(out, "not our ref "+absent) {
				t.Errorf("protocol %s: fetch of what nobody has: %v\n%s", version, err, out)
			}
		}
		out, err := gitClient("2", "clone", "--server-option=contains="+absent, d.url+"/m", filepath.Join(t.TempDir(), "clone"))
		if err == nil || !strings.Contains(out, "remote error: the mirror does not hold "+absent) {
			t.Errorf("a clone that must contain what nobody has: %v\n%s", err, out)
		}
	}
	if n := pulls() - before; n != 1 {
		t.Errorf("it was pulled for %d times", n)
	}
	out, err := gitClient("2", "clone", "--server-option=contains=main", d.url+"/m", filepath.Join(t.TempDir(), "clone"))
	if err == nil || !strings.Contains(out, `contains="main" is not a full commit id`) {
		t.Errorf("a clone that must contain no id: %v\n%s", err, out)
	}
	d.clone("2", "m", "--server-option=other=thing")
}

// TestContainsOfAClone is about all refs and their history.
func TestContainsOfAClone(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	first := r.Git("rev-parse", "main")
	r.Commit("main", map[string]string{"file": "2"})
	side := r.Commit("side", map[string]string{"file": "side"})
	r.Commit("side", map[string]string{"file": "side 2"})
	r.Git("tag", "-a", "-m", "m", "v1", side)
	d := start(t)
	d.pulled("m", r.Dir)
	for _, id := range []string{first, side, strings.ToUpper(side), r.Git("rev-parse", "v1")} {
		d.clone("2", "m", "--server-option=contains="+id)
	}

	// What the mirror has retained is there, and yet no ref leads to it.
	r.Git("tag", "-a", "-m", "m", "v2", r.Commit("gone", map[string]string{"file": "gone"}))
	tag, gone := r.Git("rev-parse", "v2"), r.Git("rev-parse", "gone")
	d.pulled("m", r.Dir)
	r.Git("tag", "-d", "v2")
	r.Git("branch", "-D", "gone")
	d.pulled("m", r.Dir)
	for _, id := range []string{tag, gone} {
		in(t, d.mirror("m"), "cat-file", "-e", id)
		out, err := gitClient("2", "clone", "--server-option=contains="+id, d.url+"/m", filepath.Join(t.TempDir(), "clone"))
		if err == nil || !strings.Contains(out, "does not hold "+id) {
			t.Errorf("a clone that must contain what has gone: %v\n%s", err, out)
		}
	}
}
