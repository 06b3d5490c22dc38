package tests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// pushes is how many pushes a slave misses, and to how many mirrors.
func pushes() (count, mirrors int) {
	if soak() {
		return 200, 50
	}
	return 24, 6
}

// changes counts the pulls of a mirror that changed something, by the daemon's log.
func (d *daemon) changes(name string) (n int) {
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, "INFO pulled mirror="+name+" ") && !strings.Contains(line, " refs_changed=0 ") {
			n++
		}
	}
	return n
}

// TestRepair: a slave that was down gets what it has missed, without anybody's help.
func TestRepair(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("master restarted=%v", restart), func(t *testing.T) {
			t.Parallel()
			count, n := pushes()
			address := "127.0.0.1:" + freePort(t)
			slave := start(t, fmt.Sprintf("listen = %q", address))
			master := start(t, "master = true", slaves(address), `repair = "1s"`)
			origins := make([]*origin.Repo, n)
			name := func(i int) string { return fmt.Sprintf("pool/m%d", i) }
			var pushing sync.WaitGroup
			for i := range origins {
				origins[i] = newOrigin(t)
				pushing.Go(func() { master.pulled(name(i), origins[i].Dir) })
			}
			pushing.Wait()

			slave.stop()
			for i := range count {
				origins[i%n].Commit("main", map[string]string{"file": fmt.Sprint(i)})
				if i%3 == 0 { // what was deleted while it was away must go, too
					origins[i%n].Git("branch", "-f", "old", "main")
				} else if origins[i%n].Has("refs/heads/old") {
					origins[i%n].Git("branch", "-D", "old")
				}
				master.post(name(i%n), origins[i%n].Dir).expect(t, 502)
			}
			if restart {
				master.kill()
				master.run()
			}
			slave.run()
			for i := range origins {
				eventually(t, name(i)+" is repaired", func() bool {
					return refs(t, slave.mirror(name(i))) == refs(t, origins[i].Dir)
				})
			}
			for i := range origins {
				eventually(t, "the log tells of it", func() bool { return slave.changes(name(i)) > 0 })
				if got := slave.changes(name(i)); got != 1 {
					t.Errorf("%s was fetched %d times", name(i), got)
				}
			}
			master.wait(`INFO had a slave pull what it had missed mirror=pool/m0`)
		})
	}
}

// TestRepairOfWhatSomebodyHasChanged by hand on a slave.
func TestRepairOfWhatSomebodyHasChanged(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	for i := range 30 {
		r.Git("branch", fmt.Sprintf("b%d", i), "main")
	}
	address := fmt.Sprintf(`listen = "127.0.0.1:%s"`, freePort(t))
	slave := start(t, address)
	master := start(t, "master = true", slaves(slave.url), `repair = "1s"`)
	master.pulled("m", r.Dir)
	want := refs(t, r.Dir)
	commit := strings.Fields(refs(t, r.Dir))[1]
	if out, err := origin.Command("--git-dir="+slave.mirror("m"), "update-ref", "refs/heads/evil", commit).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	slave.reload(address) // it looks through its storage then
	eventually(t, "the branch is gone", func() bool { return refs(t, slave.mirror("m")) == want })

	// What the master was told to accept, it passes on, and nothing that the origin has
	// lost since.
	slave.stop()
	for i := range 25 {
		r.Git("branch", "-D", fmt.Sprintf("b%d", i))
	}
	master.post("m", r.Dir, "accept", "deletions").expect(t, 502)
	had, accepted := refs(t, slave.mirror("m")), refs(t, r.Dir)
	r.GitIn(regexp.MustCompile(`(?m)^(\S+) (\S+)$`).ReplaceAllString(accepted, "delete $1"), "update-ref", "--stdin")
	slave.run()
	master.wait(`(?s)can't repair every difference.*the origin is empty`)
	if now := refs(t, slave.mirror("m")); now != had {
		t.Errorf("the slave has lost refs:\n%s\nof\n%s", now, had)
	}
	r.GitIn(regexp.MustCompile(`(?m)^(\S+) (\S+)$`).ReplaceAllString(accepted, "create $1 $2"), "update-ref", "--stdin")
	eventually(t, "the deletions are there", func() bool { return refs(t, slave.mirror("m")) == refs(t, r.Dir) })
}

// TestNothingToRepair costs one conditional request.
func TestNothingToRepair(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	slave := start(t)
	statuses := make(chan int, 100)
	between := answering(t, slave.url, statuses)
	master := start(t, "master = true", slaves(between), `repair = "100ms"`)
	master.pulled("m", r.Dir)
	unchanged := 0
	for unchanged < 3 {
		switch <-statuses {
		case 304:
			unchanged++
		case 200: // what it did not know
			unchanged = 0
		}
	}
}

// TestHealing: a mirror that is damaged on disk is built anew, from the origin or from a
// peer, and what was not the origin's is kept.
func TestHealing(t *testing.T) {
	t.Parallel()
	pack := func(d *daemon) string {
		packs, err := filepath.Glob(d.mirror("m") + "/objects/pack/*.pack")
		if err != nil || len(packs) == 0 {
			d.t.Fatalf("no packs: %v", err)
		}
		return packs[0]
	}
	change := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	damages := map[string]func(t *testing.T, d *daemon){
		"objects are gone": func(t *testing.T, d *daemon) { change(t, os.Remove(pack(d))) },
		"a pack is truncated": func(t *testing.T, d *daemon) {
			change(t, os.Chmod(pack(d), 0o644))
			change(t, os.Truncate(pack(d), 100))
		},
		"a pack is garbled": func(t *testing.T, d *daemon) {
			path := pack(d)
			change(t, os.Chmod(path, 0o644))
			text := []byte(read(t, path))
			for i := 20; i < len(text)-20; i++ {
				text[i] ^= 0x55
			}
			change(t, os.WriteFile(path, text, 0o644))
		},
		"HEAD is empty": func(t *testing.T, d *daemon) { change(t, os.Truncate(d.mirror("m")+"/HEAD", 0)) },
		"HEAD is gone":  func(t *testing.T, d *daemon) { change(t, os.Remove(d.mirror("m")+"/HEAD")) },
		"refs are gone": func(t *testing.T, d *daemon) { change(t, os.RemoveAll(d.mirror("m")+"/refs")) },
		"refs are garbled": func(t *testing.T, d *daemon) {
			change(t, os.WriteFile(d.mirror("m")+"/packed-refs", []byte("garbage\n"), 0o644))
		},
		"the state is garbled": func(t *testing.T, d *daemon) { change(t, os.Truncate(d.mirror("m")+"/sould.json", 5)) },
		"the config is garbled": func(t *testing.T, d *daemon) {
			change(t, os.WriteFile(d.mirror("m")+"/config", []byte("[core\n"), 0o644))
		},
		"HEAD and the state are gone": func(t *testing.T, d *daemon) {
			change(t, errors.Join(os.Remove(d.mirror("m")+"/HEAD"), os.Remove(d.mirror("m")+"/sould.json")))
		},
		"HEAD is a directory":        func(t *testing.T, d *daemon) { d.replace("m/HEAD", isDirectory) },
		"packed-refs is a directory": func(t *testing.T, d *daemon) { d.replace("m/packed-refs", isDirectory) },
		"packed-refs is a circle":    func(t *testing.T, d *daemon) { d.replace("m/packed-refs", isCircle) },
		"the state is a directory":   func(t *testing.T, d *daemon) { d.replace("m/sould.json", isDirectory) },
	}
	for what, damage := range damages {
		for _, alone := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, origin=%v", what, alone), func(t *testing.T) {
				t.Parallel()
				r, server, url := served(t)
				peer := start(t)
				peer.pulled("m", url)
				d := start(t, `retry = 0`, peers(peer.url))
				d.pulled("m", url)
				want := peer.get("/m").expect(t, 200)
				if !alone {
					server.Close()
				}
				d.stop()
				damage(t, d)
				d.run()
				eventually(t, "it is healed", func() bool {
					d.post("m", url) // its outcome is the origin's matter
					a := d.get("/m")
					clone := origin.Command("clone", "--quiet", "--bare", d.url+"/m", t.TempDir())
					return a.StatusCode == 200 && a.err == nil && string(a.body) == string(want.body) && clone.Run() == nil
				})
				d.fsck("m")
				if got, want := refs(t, d.mirror("m")), refs(t, r.Dir); got != want {
					t.Errorf("refs are\n%s, want\n%s", got, want)
				}
			})
		}
	}
}

// replace puts something else in the place of a file in the storage.
func (d *daemon) replace(name string, by func(path string) error) {
	d.t.Helper()
	path := d.mirror(name)
	if err := errors.Join(os.Remove(path), by(path)); err != nil {
		d.t.Fatal(err)
	}
}

func isDirectory(path string) error { return os.MkdirAll(filepath.Join(path, "something"), 0o755) }
func isCircle(path string) error    { return os.Symlink(filepath.Base(path), path) }

// TestHealingOfWhatIsThere: what stands in the place of a file of a mirror that the daemon
// has read already.
func TestHealingOfWhatIsThere(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	for _, name := range []string{"HEAD", "packed-refs", "sould.json"} {
		d.pulled("m", r.Dir)
		d.replace("m/"+name, isDirectory)
		d.pulled("m", r.Dir)
		d.get("/m").expect(t, 200)
		d.fsck("m")
	}
}

// TestHealingKeepsWhatIsNotTheOrigins as far as it can be read: what somebody has put
// there, and what the origin has lost.
func TestHealingKeepsWhatIsNotTheOrigins(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	git := func(args ...string) string {
		out, err := origin.Command(append([]string{"--git-dir=" + d.mirror("m")}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	other := newOrigin(t)
	commit := other.Commit("main", map[string]string{"precious": "x"})
	git("fetch", "--quiet", other.Dir, "main:refs/notes/mine")
	lost := r.Commit("lost", map[string]string{"lost": "x"}) // in a pack of its own
	d.pulled("m", r.Dir)
	r.Git("branch", "-D", "lost")
	d.pulled("m", r.Dir)
	kept := d.kept("m")
	packs, err := filepath.Glob(d.mirror("m") + "/objects/pack/*.pack")
	if err != nil || len(packs) == 0 {
		t.Fatal("no packs", err)
	}
	for _, path := range packs {
		if strings.Contains(git("verify-pack", "-v", path), r.Git("rev-parse", "main")) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "it is healed", func() bool {
		d.post("m", r.Dir)
		a := d.get("/m")
		return a.StatusCode == 200 && a.err == nil
	})
	d.wait("ERROR a mirror is damaged")
	d.wait("a damaged mirror is rebuilt")
	d.get("/m?ref=refs/notes/mine").expect(t, 200, "X-Revision", commit)
	if now := d.kept("m"); now != kept || kept != "heads/lost "+lost+"\n" {
		t.Errorf("kept were\n%snow\n%s", kept, now)
	}
	d.get("/m?ref="+lost).expect(t, 200, "X-Revision", lost)
	d.fsck("m")
}
