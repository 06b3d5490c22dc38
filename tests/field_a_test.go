package tests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// history makes an origin with commits on main, a tag, and a branch beside it, behind a server.
func history(t *testing.T, commits int) (r *origin.Repo, url string) {
	t.Helper()
	r, _, url = served(t)
	for i := range commits {
		r.Commit("main", map[string]string{"file": fmt.Sprint("next ", i), fmt.Sprint("file", i): "x"})
	}
	r.Git("tag", "v1", "main~1")
	r.Commit("side/branch", map[string]string{"side": "x"})
	return r, url
}

// git runs git on a repository, and fails the test if that fails.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := origin.Command(append([]string{"--git-dir=" + dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// clone clones and returns the directory.
func clone(t *testing.T, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "clone.git")
	if out, err := origin.Command(append(append([]string{"clone", "--quiet", "--mirror"}, args...), dir)...).CombinedOutput(); err != nil {
		t.Fatalf("clone %q: %v\n%s", args, err, out)
	}
	return dir
}

// whole checks that a clone of the mirror has as many commits on main as the origin, and that
// git finds nothing wrong with it.
func (d *daemon) whole(name string, r *origin.Repo) {
	d.t.Helper()
	d.sameHistory(name, r.Dir)
	d.fsck(name)
	if exists(d.mirror(name) + "/shallow") {
		d.t.Errorf("%s is shallow", name)
	}
}

// sameHistory checks that a full clone of the mirror is what a full clone of the origin is.
func (d *daemon) sameHistory(name, from string) {
	d.t.Helper()
	ours := clone(d.t, d.url+"/"+name)
	theirs := clone(d.t, "file://"+from)
	for _, args := range [][]string{{"rev-list", "--objects", "--all", "--no-object-names"}, {"for-each-ref"}, {"fsck", "--full"}} {
		if got, want := git(d.t, ours, args...), git(d.t, theirs, args...); got != want {
			d.t.Errorf("git %q of a clone of %s:\n%s\nof a clone of its origin:\n%s", args, name, got, want)
		}
	}
}

// TestShallowOrigins are mirrored as what they are, and told of.
func TestShallowOrigins(t *testing.T) {
	t.Parallel()
	whole, _ := history(t, 4)
	root := t.TempDir()
	shallow := filepath.Join(root, "r.git")
	if out, err := origin.Command("clone", "--quiet", "--mirror", "--depth=2", "file://"+whole.Dir, shallow).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	httpURL, gitURL := origin.ServeHTTP(t, root).URL, origin.ServeGit(t, root)
	for _, url := range []string{httpURL + "/r.git", gitURL + "/r.git", shallow} {
		t.Run(url[:4], func(t *testing.T) {
			d := start(t)
			d.pulled("m", url)
			d.sameHistory("m", shallow)
			d.fsck("m")
			d.get("/x/status?name=m").expect(t, 200).contains(t, "shallow: true")
			d.get("/x/status?name=m&format=json").expect(t, 200).contains(t, `"shallow":true`)
			d.get("/x/status?name=m&format=toml").expect(t, 200).contains(t, `shallow = true`)
			d.get("/m").expect(t, 200)
			d.pulled("m", url)
			d.sameHistory("m", shallow)
		})
	}
}

// TestOriginsThatBecomeShallow: the mirror keeps the history that it has, and goes on. What it
// has not seen before it lacks as the origin does, until that is whole again.
func TestOriginsThatBecomeShallow(t *testing.T) {
	t.Parallel()
	for _, unseen := range []int{0, 3} {
		t.Run(fmt.Sprintf("unseen=%d", unseen), func(t *testing.T) {
			t.Parallel()
			r, _ := history(t, 4)
			url := "file://" + r.Dir
			d := start(t)
			d.pulled("m", url)
			before := mustAtoi(t, git(t, d.mirror("m"), "rev-list", "--count", "main"))
			for i := range unseen {
				r.Commit("main", map[string]string{"file": fmt.Sprint("unseen ", i)})
			}
			whole := r.Dir + ".whole"
			again := clone(t, "--depth=1", url)
			if err := errors.Join(os.Rename(r.Dir, whole), os.Rename(again, r.Dir)); err != nil {
				t.Fatal(err)
			}
			commit := r.Commit("main", map[string]string{"file": "after"})
			d.pulled("m", url)
			d.get("/m").expect(t, 200, "X-Revision", commit)
			d.fsck("m")
			clone(t, d.url+"/m")
			if unseen == 0 {
				if now := mustAtoi(t, git(t, d.mirror("m"), "rev-list", "--count", "main")); now != before+1 {
					t.Errorf("there were %d commits, now there are %d", before, now)
				}
				return
			}
			d.get("/x/status?name=m").expect(t, 200).contains(t, "shallow: true")
			git(t, r.Dir, "fetch", "--quiet", "--unshallow", "file://"+whole)
			d.pulled("m", url)
			d.whole("m", r)
		})
	}
}

// TestShallowCopies of whole origins become whole by the first pull.
func TestShallowCopies(t *testing.T) {
	t.Parallel()
	r, url := history(t, 4)
	d := start(t)
	d.copyIn(clone(t, "--depth=1", url), "m")
	d.pulled("m", url)
	d.whole("m", r)
}

// TestRepairOfShallowCopies: the refs of a slave that has only a part of the history are those
// of its master.
func TestRepairOfShallowCopies(t *testing.T) {
	t.Parallel()
	r, url := history(t, 4)
	slave := start(t)
	master := start(t, "master = true", slaves(slave.url), `repair = "1s"`)
	master.pulled("m", url)
	slave.stop()
	if err := os.RemoveAll(slave.mirror("m")); err != nil {
		t.Fatal(err)
	}
	slave.copyIn(clone(t, "--depth=1", url), "m")
	slave.configure("listen = \"" + strings.TrimPrefix(slave.url, "http://") + "\"")
	slave.run()
	eventually(t, "the slave has all history", func() bool { return !exists(slave.mirror("m") + "/shallow") })
	slave.whole("m", r)
}

// TestPartialCopies become whole by the first pull.
func TestPartialCopies(t *testing.T) {
	t.Parallel()
	r, url := history(t, 4)
	r.Git("config", "uploadpack.allowFilter", "true")
	d := start(t)
	for _, filter := range []string{"blob:none", "tree:0"} {
		name := strings.NewReplacer(":", "-").Replace(filter)
		d.copyIn(clone(t, "--filter="+filter, url), name)
		d.pulled(name, url)
		d.whole(name, r)
		d.get("/"+name).expect(t, 200)
	}
}

// TestIncompleteCopies: the first request is a POST, whose 200 says that nothing is missing.
func TestIncompleteCopies(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(t *testing.T, dir string){
		"its alternate is gone": func(t *testing.T, dir string) {
			objects := filepath.Join(t.TempDir(), "objects")
			if err := os.Rename(dir+"/objects", objects); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(dir+"/objects/info", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/objects/info/alternates", []byte(objects+".gone\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"no pack":       func(t *testing.T, dir string) { forPacks(t, dir, os.Remove) },
		"a cut pack":    func(t *testing.T, dir string) { forPacks(t, dir, func(p string) error { return os.Truncate(p, 100) }) },
		"a blob":        func(t *testing.T, dir string) { dropLoose(t, dir, "main:file0") },
		"an old commit": func(t *testing.T, dir string) { dropLoose(t, dir, "main~2") },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r, server, url := served(t)
			for i := range 4 {
				r.Commit("main", map[string]string{fmt.Sprint("file", i): "x"})
			}
			d := start(t)
			for _, name := range []string{"m", "down"} {
				copied := clone(t, url)
				spoil(t, copied)
				d.copyIn(copied, name)
				if name == "m" {
					d.pulled(name, url)
					d.whole(name, r)
				}
			}
			server.Close()
			d.post("down", url).expect(t, 500)
		})
	}
}

func forPacks(t *testing.T, dir string, do func(string) error) {
	t.Helper()
	packs, err := filepath.Glob(dir + "/objects/pack/*.pack")
	if err != nil || len(packs) == 0 {
		t.Fatal("no packs", err)
	}
	for _, pack := range packs {
		if err := os.Chmod(pack, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := do(pack); err != nil {
			t.Fatal(err)
		}
	}
}

// dropLoose makes all objects of a repository files of their own, and removes one.
func dropLoose(t *testing.T, dir, rev string) {
	t.Helper()
	id := git(t, dir, "rev-parse", rev)
	forPacks(t, dir, func(pack string) error {
		text := read(t, pack)
		if err := os.Remove(pack); err != nil {
			return err
		}
		cmd := origin.Command("--git-dir="+dir, "unpack-objects", "-q")
		cmd.Stdin = strings.NewReader(text)
		return cmd.Run()
	})
	if err := os.Remove(filepath.Join(dir, "objects", id[:2], id[2:])); err != nil {
		t.Fatal(err)
	}
}

// TestPacksCutBehindTheServer are noticed by the next POST, whatever that brings.
func TestPacksCutBehindTheServer(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 200} {
		for _, news := range []bool{false, true} {
			t.Run(fmt.Sprintf("size=%d news=%v", size, news), func(t *testing.T) {
				t.Parallel()
				r, url := history(t, 4)
				d := start(t)
				d.pulled("m", url)
				r.Commit("other", map[string]string{"other": "x"}) // in another pack
				d.pulled("m", url)
				packs, err := filepath.Glob(d.mirror("m") + "/objects/pack/*.pack")
				if err != nil || len(packs) < 2 {
					t.Fatal(packs, err)
				}
				for _, pack := range packs {
					if info, err := os.Stat(pack); err == nil && info.Size() > 300 {
						// As a copy that went wrong: what is mapped stays what it was.
						if err := os.WriteFile(pack+".new", []byte(read(t, pack)[:size]), 0o444); err != nil {
							t.Fatal(err)
						}
						if err := os.Rename(pack+".new", pack); err != nil {
							t.Fatal(err)
						}
					}
				}
				if news {
					r.Commit("fresh", map[string]string{"fresh": "x"})
				}
				d.pulled("m", url)
				d.whole("m", r)
			})
		}
	}
}

// TestOddConfigurationsOfCopies keep nobody from the mirror for ever.
func TestOddConfigurationsOfCopies(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(t *testing.T, dir string){
		"grafts": func(t *testing.T, dir string) {
			if err := os.MkdirAll(dir+"/info", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/info/grafts", []byte(git(t, dir, "rev-parse", "main~1")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"a worktree that is gone": func(t *testing.T, dir string) {
			git(t, dir, "config", "core.bare", "false")
			git(t, dir, "config", "core.worktree", "../../../gone/sub")
		},
		"an unknown extension": func(t *testing.T, dir string) {
			git(t, dir, "config", "core.repositoryformatversion", "1")
			git(t, dir, "config", "extensions.whatever", "true")
		},
		"an unknown version": func(t *testing.T, dir string) { git(t, dir, "config", "core.repositoryformatversion", "7") },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r, url := history(t, 4)
			d := start(t)
			copied := clone(t, url)
			change(t, copied)
			d.copyIn(copied, "m")
			d.pulled("m", url)
			d.whole("m", r)
			d.get("/m").expect(t, 200)
		})
	}
}

// TestPullsOfWholeMirrorsCostNoLook: what the server has made itself it does not look at.
func TestPullsOfWholeMirrorsCostNoLook(t *testing.T) {
	t.Parallel()
	r, url := history(t, 4)
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.copyIn(clone(t, url), "copied")
	d.pulled("m", url)
	d.pulled("copied", url)
	for _, restart := range []bool{false, true} {
		if restart {
			d.stop()
			d.run()
		}
		for _, name := range []string{"m", "copied"} {
			before := calls()
			d.pulled(name, url)
			if n := calls() - before; n != 0 {
				t.Errorf("restart=%v: nothing new in %s took %d processes", restart, name, n)
			}
		}
	}
	r.Commit("main", map[string]string{"file": "new"}) // then git is asked once what it checks
	d.pulled("m", url)
	r.Commit("main", map[string]string{"file": "newer"})
	before := calls()
	d.pulled("m", url)
	if n := calls() - before; n != 2 {
		t.Errorf("one commit took %d processes: to fetch, and to see whether anything is lost", n)
	}
}

// TestMirrorsOfAnotherServer are looked at once: what that server knew may not have come along.
func TestMirrorsOfAnotherServer(t *testing.T) {
	t.Parallel()
	r, url := history(t, 2)
	there, here := start(t), start(t)
	there.pulled("m", url)
	here.copyIn(there.mirror("m"), "m")
	for range 2 {
		here.pulled("m", url)
		here.logged("a mirror has all its objects mirror=m", 1)
	}
	here.whole("m", r)
}
