package tests

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// heldFetch is an origin that holds transfers of objects: what is done by hand meanwhile is done
// while a mirror is built. If there is a condition, those are held that begin when it is true.
func heldFetch(t *testing.T, when ...func() bool) (r *origin.Repo, url string, arrived chan bool, held *hold) {
	t.Helper()
	r, server, url := served(t)
	arrived, held = make(chan bool, 8), newHold(t)
	server.Before(func(r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("command=fetch")) && (len(when) == 0 || when[0]()) {
			arrived <- true
			held.wait()
		}
	})
	return r, url, arrived, held
}

// rebuilding has a daemon rebuild a damaged mirror, and calls meanwhile when all of it is
// fetched but has no place yet. The log tells what comes of it.
func rebuilding(t *testing.T, meanwhile func(d *daemon, backup string)) (d *daemon) {
	t.Helper()
	d = start(t)
	var damaged atomic.Bool
	rebuilt := func() bool { return strings.Contains(d.log.String(), "a damaged mirror is rebuilt") }
	_, url, arrived, held := heldFetch(t, func() bool { return damaged.Load() && within(patient, rebuilt) }) // the log may come later
	d.pulled("m", url)
	damaged.Store(true)
	backup := d.backup("m")
	d.removePacks("m")
	d.get("/m").expect(t, 500)
	d.wait("a damaged mirror is rebuilt")
	select {
	case <-arrived:
	case <-time.After(patient):
		t.Fatalf("nothing was fetched:\n%s", d.log)
	}
	meanwhile(d, backup)
	held.release()
	return d
}

// held waits until a transfer is held. If there is an answer first, there was none.
func (d *daemon) held(arrived <-chan bool, posted <-chan answer) {
	d.t.Helper()
	select {
	case <-arrived:
	case a := <-posted:
		d.t.Fatalf("nothing was fetched: %s\n%s\n%s", a.Status, a.text(), d.log)
	case <-time.After(patient):
		d.t.Fatalf("nothing was fetched:\n%s", d.log)
	}
}

// copyIn puts a copy of a directory into the storage, as an operator does.
func (d *daemon) copyIn(from, name string) {
	d.t.Helper()
	if err := os.MkdirAll(d.mirror(name), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from+"/.", d.mirror(name)).CombinedOutput(); err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
}

// mark notes in a copy of a mirror that it is somebody's: a ref that no origin has.
const mark = "refs/notes/somebodys"

func (d *daemon) marked(name string) bool {
	return strings.Contains(refs(d.t, d.mirror(name)), mark)
}

// backup is a copy of a mirror, with the mark.
func (d *daemon) backup(name string) string {
	d.t.Helper()
	to := filepath.Join(d.t.TempDir(), "backup")
	if out, err := exec.Command("cp", "-a", d.mirror(name), to).CombinedOutput(); err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
	if out, err := origin.Command("--git-dir="+to, "update-ref", mark, "refs/heads/main").CombinedOutput(); err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
	return to
}

// keptByHand is what lies in the trash because it may be somebody's.
func (d *daemon) keptByHand() (dirs []string) {
	d.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(d.storage, ".sould", "trash", "by-hand-*", "mirror"))
	if err != nil {
		d.t.Fatal(err)
	}
	return dirs
}

// TestFieldG: what stands in the storage is somebody's.
func TestFieldG(t *testing.T) {
	for what, try := range map[string]func(*testing.T){
		"a mirror copied in while a first clone of that name runs": func(t *testing.T) {
			_, url, arrived, held := heldFetch(t)
			other := newOrigin(t)
			other.Commit("main", map[string]string{"file": "theirs"})
			d := start(t)
			posted := d.posting("m", url)
			d.held(arrived, posted)
			d.copyIn(other.Dir, "m")
			inode := d.identity("m")
			held.release()
			(<-posted).expect(t, 500).contains(t, "something was put in the mirror's place by hand")
			d.wait(`(?s)ERROR can.t pull mirror=m .*by hand`)
			if d.identity("m") != inode || refs(t, d.mirror("m")) != refs(t, other.Dir) || exists(d.mirror("m/sould.json")) {
				t.Errorf("it is not what was copied in:\n%s", tree(t, d.mirror("m")))
			}
			d.get("/m").expect(t, 200, "X-Revision", other.Git("rev-parse", "main"))
			if left := d.own("incoming"); len(left) > 0 {
				t.Errorf("what was fetched is still there: %q", left)
			}
		},
		"a copy that has only just begun": func(t *testing.T) {
			_, url, arrived, held := heldFetch(t)
			other := newOrigin(t)
			d := start(t)
			posted := d.posting("a/m", url)
			d.held(arrived, posted)
			if err := os.MkdirAll(d.mirror("a/m"), 0o755); err != nil {
				t.Fatal(err)
			}
			inode := d.identity("a/m")
			held.release()
			(<-posted).expect(t, 500).contains(t, "by hand")
			d.copyIn(other.Dir, "a/m")
			if d.identity("a/m") != inode {
				t.Error("the directory was replaced while it was copied to")
			}
			d.get("/a/m").expect(t, 200, "X-Revision", other.Git("rev-parse", "main"))
		},
		"a mirror copied in around a first clone": func(t *testing.T) {
			_, url, arrived, held := heldFetch(t)
			other := newOrigin(t)
			d := start(t)
			posted := d.posting("a/m", url)
			d.held(arrived, posted)
			d.copyIn(other.Dir, "a")
			before := tree(t, d.mirror("a"))
			held.release()
			(<-posted).expect(t, 500).contains(t, "inside the mirror a")
			if now := tree(t, d.mirror("a")); now != before {
				t.Errorf("the mirror was\n%snow it is\n%s", before, now)
			}
		},
		"a backup restored while a damaged mirror is rebuilt": func(t *testing.T) {
			var inode uint64
			d := rebuilding(t, func(d *daemon, backup string) {
				if err := os.RemoveAll(d.mirror("m")); err != nil {
					t.Fatal(err)
				}
				d.copyIn(backup, "m")
				inode = d.identity("m")
			})
			d.wait(`(?s)ERROR can.t pull mirror=m .*replaced by hand`)
			if d.identity("m") != inode || !d.marked("m") {
				t.Error("what was restored is gone")
			}
			d.get("/m").expect(t, 200)
			d.fsck("m")
		},
		"a damaged mirror removed while it is rebuilt": func(t *testing.T) {
			d := rebuilding(t, func(d *daemon, _ string) {
				if err := os.RemoveAll(d.mirror("m")); err != nil {
					t.Fatal(err)
				}
			})
			d.wait(`(?s)ERROR can.t pull mirror=m .*removed or replaced by hand`)
			if exists(d.mirror("m")) {
				t.Error("it is back")
			}
		},
		"files of a backup restored into the damaged mirror": func(t *testing.T) {
			d := rebuilding(t, func(d *daemon, backup string) { d.copyIn(backup, "m") })
			d.wait(`WARN the old mirror may have what the new one has not, and is kept mirror=m`)
			trash := d.own("trash")
			if len(trash) != 1 {
				t.Fatalf("in the trash are %q", trash)
			}
			kept := filepath.Join(d.storage, ".sould", "trash", trash[0], "mirror")
			if !strings.Contains(refs(t, kept), mark) {
				t.Errorf("what was restored is not in %s", kept)
			}
			d.get("/m").expect(t, 200)
		},
		"what somebody has put into the trash": func(t *testing.T) {
			d := start(t)
			d.pulled("m", newOrigin(t).Dir)
			mine := filepath.Join(d.storage, ".sould", "trash", "mine")
			if err := os.Rename(d.mirror("m"), mine); err != nil {
				t.Fatal(err)
			}
			d.stop()
			d.run()
			if !exists(filepath.Join(mine, "HEAD")) {
				t.Error("it is gone after a restart")
			}
		},
		"a mirror copied in after a crash in the middle of an exchange": func(t *testing.T) {
			d := start(t)
			d.pulled("m", newOrigin(t).Dir)
			d.stop()
			backup := d.backup("m")
			aside := filepath.Join(d.storage, ".sould", "replaced")
			if err := errors.Join(os.Mkdir(aside, 0o700), os.Rename(d.mirror("m"), filepath.Join(aside, "m"))); err != nil {
				t.Fatal(err)
			}
			d.copyIn(backup, "m")
			if err := os.WriteFile(filepath.Join(aside, "note"), []byte("what is no mirror"), 0o600); err != nil {
				t.Fatal(err)
			}
			d.run()
			d.wait(`WARN what an interrupted daemon was replacing is kept, .* to=\S*/trash/by-hand-`)
			if !d.marked("m") || len(d.keptByHand()) != 2 {
				t.Errorf("kept are %q, and the mirror has\n%s", d.keptByHand(), refs(t, d.mirror("m")))
			}
			d.get("/m").expect(t, 200)
		},
		"an origin that is on disk when it has changed": func(t *testing.T) {
			trace := filepath.Join(t.TempDir(), "trace")
			if _, err := exec.LookPath("strace"); err != nil {
				t.Skip("needs strace")
			}
			r, moved := newOrigin(t), newOrigin(t)
			d := prepare(t)
			d.before = []string{"strace", "-D", "-f", "-y", "-o", trace, "-e", "trace=fsync"}
			d.run()
			d.pulled("m", r.Dir)
			before := strings.Count(read(t, trace), "/m/config>")
			d.pulled("m", moved.Dir, "move", r.Dir)
			if strings.Count(read(t, trace), "/m/config>") == before {
				t.Error("the configuration was not synced")
			}
		},
	} {
		t.Run(what, func(t *testing.T) { t.Parallel(); try(t) })
	}
}
