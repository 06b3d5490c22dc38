package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// smallDisk mounts a file system of that many bytes for the test.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", size), "tmpfs", dir).CombinedOutput()
	if err != nil && os.Getenv("SOULD_ROOT") != "" {
		t.Fatalf("SOULD_ROOT is set, and a small file system can't be mounted: %s", out)
	} else if err != nil {
		t.Skipf("can't mount a small file system here, which needs root: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	return dir
}

// leave fills the disk up but for that many bytes.
func leave(t *testing.T, filler string, room int) {
	t.Helper()
	spare := filler + ".spare"
	if err := os.WriteFile(spare, make([]byte, room), 0o644); err != nil {
		t.Fatal(err)
	}
	fill(t, filler)
	if err := os.Remove(spare); err != nil {
		t.Fatal(err)
	}
}

// TestDisk fills the disk up, more or less, before a first clone, a fetch, an archive, a
// removal and a restart. Each either works or fails with the reason, what was there is
// served, and all is well when there is space again.
func TestDisk(t *testing.T) {
	t.Parallel()
	const data, wide = 1 << 20, 6 << 20
	size := shortOrLong(32<<20, 128<<20) // each round adds data to two mirrors
	dir := smallDisk(t, size)
	r := newOrigin(t)
	r.Commit("main", map[string]string{"a": noise(1, data), "small/b": "b"})
	d := prepare(t)
	d.storage = filepath.Join(dir, "storage")
	d.configure(tokenLine, `retry = "1h"`, `cache_size = "4MiB"`, `keep = 0`) // the rest is for mirrors
	d.run()
	post := func(name string) answer { return lowerCase(d.postWithToken(name, r.Dir)) }
	post("old").expect(t, 200)
	small, large := newOrigin(t), newOrigin(t)
	large.Commit("main", map[string]string{"wide": strings.Repeat(" ", wide)})
	d.postWithToken("wide", large.Dir).expect(t, 200)
	filler := filepath.Join(dir, "filler")

	rooms := []int{0}
	for room := 4 << 10; room < 2*data; room = max(room*shortOrLong(12, 1)+room/4, room+4<<10) {
		rooms = append(rooms, room)
	}
	failed := make(map[string]int)
	for i, room := range rooms {
		was := refs(t, d.mirror("old"))
		served := d.get("/old").expect(t, 200)
		fresh := fmt.Sprintf("new%d", i)
		tip := r.Commit("main", map[string]string{"a": noise(i+2, data), fresh: fresh})
		d.postWithToken("doomed", small.Dir).expect(t, 200)
		leave(t, filler, room)

		check := func(what string, a answer) (ok bool) {
			t.Helper()
			if a.StatusCode != 200 {
				failed[what]++
				a.expect(t, 500)
				if !strings.Contains(a.text(), "No space left on device") && !strings.Contains(a.text(), "the disk is full") {
					t.Errorf("with room for %d bytes a %s failed without the reason:\n%s", room, what, a.text())
				}
			}
			return a.StatusCode == 200
		}
		// A first clone.
		if check("clone", post(fresh)) {
			d.fsck(fresh)
		} else if exists(d.mirror(fresh)) {
			t.Errorf("with room for %d bytes a failed clone left a mirror", room)
		}
		// A fetch.
		ok := check("fetch", post("old"))
		d.fsck("old")
		now := refs(t, d.mirror("old"))
		if ok != strings.Contains(now, tip) || !ok && now != was {
			t.Errorf("with room for %d bytes: pulled %v, and the refs became\n%s", room, ok, now)
		}
		// A removal: done, or not at all.
		gone := check("removal", lowerCase(d.remove("doomed")))
		there := func(when string) {
			t.Helper()
			if exists(d.mirror("doomed")) == gone || !gone && refs(t, d.mirror("doomed")) != refs(t, small.Dir) {
				t.Errorf("with room for %d bytes, %s: removed %v, and the mirror is there: %v", room, when, gone, exists(d.mirror("doomed")))
			}
			if gone {
				d.get("/doomed").expect(t, 404)
			} else if a := d.get("/doomed").expect(t, 200); a.files(t)["file"] != "1" {
				t.Errorf("with room for %d bytes, %s: the mirror is served without its file", room, when)
			}
		}
		// Archives: those that are there, and new ones.
		if got := d.get("/old?ref=" + served.Header.Get("X-Revision")); got.StatusCode != 200 || got.err != nil || !bytes.Equal(got.body, served.body) {
			t.Errorf("with room for %d bytes: the old archive is %s, %v", room, got.Status, got.err)
		}
		for _, format := range []string{"tar", "tar.gz", "tar.zst", "zip"} {
			a, err := d.try("GET", "/old?prefix="+fresh+"&format="+format, nil)
			switch {
			case err != nil || a.err != nil: // broken off: the client knows
			case a.StatusCode != 200 || len(a.body) < 1<<10:
				t.Errorf("with room for %d bytes: %s is %s, %d bytes", room, format, a.Status, len(a.body))
			case format == "tar" && len(a.files(t)[fresh+"/a"]) != data:
				t.Errorf("with room for %d bytes the archive is not whole", room)
			}
		}
		there("at once")
		// One for which there is no room even when all others go from the cache. Who comes
		// when that is known gets it without the cache.
		for broken, n := false, 0; n < 2; n++ {
			a, err := d.try("GET", "/wide?prefix="+fresh, nil)
			if met := err != nil || a.err != nil; met && !broken {
				failed["archive"]++
				broken = true
			} else if met || a.StatusCode != 200 || len(a.files(t)[fresh+"/wide"]) != wide {
				t.Errorf("with room for %d bytes the large archive is %s, %v, %v, %d bytes", room, a.Status, err, a.err, len(a.body))
			} else if a.Header.Get("Accept-Ranges") == "none" {
				failed["archive in the cache"]++
			}
		}
		if i%shortOrLong(2, 3) == 0 {
			d.stop()
			d.run()
			if a := d.get("/old?path=small"); a.StatusCode != 200 || a.files(t)["small/b"] != "b" {
				t.Errorf("after a start with room for %d bytes: %s\n%s", room, a.Status, a.text())
			}
			if got := refs(t, d.mirror("old")); got != now && !strings.Contains(got, tip) {
				t.Errorf("after a start with room for %d bytes the refs are\n%s", room, got)
			}
			there("after a start")
		}

		// There is space again.
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		there("with space")
		d.remove("doomed").expect(t, 200)
		d.get("/doomed").expect(t, 404)
		post("old").expect(t, 200)
		post(fresh).expect(t, 200)
		for _, name := range []string{"old", fresh} {
			d.get("/"+name).expect(t, 200, "X-Revision", tip, "X-State", "success")
			d.fsck(name)
		}
		d.cleanSoon()
		d.shrink("old", fresh)
		d.stop() // for a while it would remember that the cache had no room
		d.run()
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("with %d sizes of room failed: %v", len(rooms), failed)
	for _, what := range []string{"clone", "fetch", "archive", "archive in the cache", "removal"} {
		if failed[what] == 0 {
			t.Errorf("no %s met a full disk", what)
		}
	}
}

// lowerCase is an answer in which the kernel's words have git's spelling.
func lowerCase(a answer) answer {
	a.body = bytes.ReplaceAll(a.body, []byte("no space left"), []byte("No space left"))
	return a
}

// shrink makes room as an operator would: a mirror that is not needed goes, and the
// packs of another become one.
func (d *daemon) shrink(keep, remove string) {
	d.t.Helper()
	if err := os.RemoveAll(d.mirror(remove)); err != nil {
		d.t.Fatal(err)
	}
	out, err := origin.Command("--git-dir="+d.mirror(keep), "repack", "-a", "-d", "-q").CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
}
