package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

func TestArchiveOfARef(t *testing.T) {
	r := newOrigin(t)
	main := r.Git("rev-parse", "main")
	dev := r.Commit("dev", map[string]string{"file": "dev"})
	r.Git("tag", "-a", "-m", "m", "v1", dev)
	r.Git("tag", "dev", main) // a tag and a branch of one name
	r.Git("tag", "blob", main+":file")
	r.Git("tag", "tree", main+"^{tree}")
	r.Git("update-ref", "refs/heads/-x", dev)
	hex := strings.Repeat("ab", 20)
	r.Git("update-ref", "refs/heads/"+hex, dev)
	d := start(t)
	d.pulled("a/b", r.Dir)
	for ref, want := range map[string]string{
		"": main, "?ref=main": main, "?ref=dev": dev, "?ref=refs/tags/dev": main, "?ref=v1": dev, "?ref=" + main: main,
		"?ref=refs/heads/-x": dev, "?ref=refs%2fheads%2fmain": main, "?format=tar": main, "?ref=" + hex: dev,
		"?ref=" + r.Git("rev-parse", "v1"): dev,
	} {
		a := d.get("/a/b"+ref).expect(t, 200, "X-Revision", want, "Content-Type", "application/x-tar",
			"Content-Disposition", `attachment; filename="b.tar"`)
		if files := a.files(t); (files["file"] == "dev") != (want == dev) {
			t.Errorf("%s: the archive holds %v", ref, files)
		}
		d.do("HEAD", "/a/b"+ref, nil).expect(t, 200, "X-Revision", want)
	}
	for query, status := range map[string]int{
		"?ref=none": 404, "?ref=HEAD": 404, "?ref=blob": 404, "?ref=tree": 404, "?ref=" + strings.Repeat("1", 40): 404,
		"?ref=" + main[:12]: 404, "?ref=tags/v1": 404, "?ref=": 400, "?ref=--output=/tmp/x": 400, "?ref=-x": 400,
		"?ref=:/text": 400, "?ref=HEAD:dir": 400, "?ref=main@{0}": 400, "?ref=main~1": 400, "?ref=main^{/x}": 400,
		"?ref=a..b": 400, "?ref=%zz": 400, "?ref=%00": 400, "?ref=a&ref=b": 400, "?fromat=tar": 400, "?format=rar": 400,
		"?contains=main": 400, "?contains=": 400, "?a;b": 400,
	} {
		d.get("/a/b"+query).expect(t, status)
	}
	d.get("/a").expect(t, 404)
	d.get("/a/b/refs").expect(t, 404)
	d.get("/a/b/refs/heads").expect(t, 404)
	d.get("/a/b/").expect(t, 200)
}

// TestBranchesThatLookLikeARepository: a mirror's refs can make a directory look
// like a repository inside of it.
func TestBranchesThatLookLikeARepository(t *testing.T) {
	r := newOrigin(t)
	for _, name := range []string{"x/HEAD", "x/objects/a", "x/refs/a"} {
		r.Git("update-ref", "refs/heads/"+name, "refs/heads/main")
	}
	d := start(t)
	d.pulled("m", r.Dir)
	d.get("/m/refs/heads/x").expect(t, 404)
	d.stop()
	d.run()
	d.get("/m/refs/heads/x").expect(t, 404)
	d.post("m/refs/heads/x", r.Dir).expect(t, 409)
}

func TestStateDateAndRevision(t *testing.T) {
	r := newOrigin(t)
	d := start(t, `retry = "1ms"`)
	d.pulled("m", r.Dir)
	first := d.get("/m").expect(t, 200, "X-State", "success")
	date, err := http.ParseTime(first.Header.Get("X-Date"))
	if err != nil || time.Since(date) > time.Minute {
		t.Errorf("X-Date is %q", first.Header.Get("X-Date"))
	}

	// The origin goes away: the content stays, and the state is honest.
	away := r.Dir + ".away"
	if err := os.Rename(r.Dir, away); err != nil {
		t.Fatal(err)
	}
	d.get("/m").expect(t, 200, "X-State", "success") // nobody has asked the origin
	d.post("m", r.Dir).expect(t, 500)
	unchanged := []string{"X-State", "failed", "X-Date", first.Header.Get("X-Date"), "X-Revision", first.Header.Get("X-Revision")}
	d.get("/m").expect(t, 200, unchanged...)

	// So it stays over a restart, after which a GET tries again.
	d.stop()
	d.run()
	d.get("/m").expect(t, 200, unchanged...)
	if err := os.Rename(away, r.Dir); err != nil {
		t.Fatal(err)
	}
	second := r.Commit("main", map[string]string{"file": "2"})
	eventually(t, "a pull by a GET", func() bool { return d.get("/m").Header.Get("X-State") == "success" })
	d.get("/m").expect(t, 200, "X-Revision", second)

	// After a restart, the first GET pulls although the state is good.
	d.stop()
	third := r.Commit("main", map[string]string{"file": "3"})
	d.run()
	d.get("/m").expect(t, 200, "X-State", "success", "X-Revision", third)
	r.Commit("main", map[string]string{"file": "4"})
	d.get("/m").expect(t, 200, "X-Revision", third)
	d.get("/m", "Cache-Control", "max-age=0, No-Cache").expect(t, 200, "X-Revision", r.Git("rev-parse", "main"))
}

// TestPatience takes the origin away in every way in which one can go, and asks
// for the mirror as hundreds of hosts do.
func TestPatience(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"file": "1"})
	server := origin.ServeHTTP(t, root)
	hole := origin.BlackHole(t)
	// What a GET takes beside its patience is the machine's matter, but it ends before the origin is
	// given up.
	const patience = 500 * time.Millisecond
	for what, fault := range map[string]*origin.Fault{
		"refused":             {Refuse: true},
		"mute":                {Mute: true},
		"one byte a second":   {Drip: time.Second},
		"stalls in the midst": {At: 200, Then: origin.Stall},
		"black hole":          nil,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			proxy := origin.NewProxy(t, server.URL)
			d := start(t, fmt.Sprintf("patience = %d", patience.Milliseconds()), `list_timeout = "10m"`, `retry = "1h"`)
			url := "http://" + proxy.Addr + "/r.git"
			if fault == nil {
				d.pulled("m", server.URL+"/r.git")
				d.stop()
				d.setOrigin("m", "http://"+hole+"/r.git")
			} else {
				d.pulled("m", url)
				d.stop()
				proxy.Set(*fault)
			}
			d.run()
			var clients sync.WaitGroup
			for range 30 {
				clients.Go(func() {
					began := time.Now()
					d.get("/m").expect(t, 200)
					if took := time.Since(began); took > patient {
						t.Errorf("a GET took %s", took)
					}
				})
			}
			clients.Wait()
			if fault == nil {
				return // nobody can give it up
			}
			proxy.Set(origin.Fault{Refuse: true})
			proxy.HangUp()
			d.wait("can't pull mirror=m")
			d.get("/m").expect(t, 200, "X-State", "failed")
			d.logged("can't pull", 1)
		})
	}
}

// TestPatienceWithContains: two reasons to pull are no reason to wait twice.
func TestPatienceWithContains(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	const patience = 10 * time.Second // and as much for a machine that is busy; it is not the default
	d := start(t, fmt.Sprintf("patience = %d", patience.Milliseconds()), `list_timeout = "10m"`)
	d.pulled("m", r.Dir)
	d.stop()
	d.setOrigin("m", "http://"+origin.BlackHole(t)+"/r.git")
	d.run()
	began := time.Now()
	d.get("/m?contains="+strings.Repeat("2", 40)).expect(t, 412)
	if took := time.Since(began); took < patience || took >= 2*patience {
		t.Errorf("a GET took %s", took)
	}
}

// setOrigin changes a mirror's origin behind the back of a daemon that is down.
func (d *daemon) setOrigin(name, url string) {
	d.t.Helper()
	path := filepath.Join(d.mirror(name), "sould.json")
	if err := os.Remove(path); err != nil {
		d.t.Fatal(err)
	}
	if out, err := origin.Command("--git-dir="+d.mirror(name), "config", "remote.origin.url", url).CombinedOutput(); err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
}

func TestRetryLeavesAFailedOriginAlone(t *testing.T) {
	r := newOrigin(t)
	d := start(t, `retry = "1h"`)
	d.pulled("m", r.Dir)
	d.stop()
	if err := os.Rename(r.Dir, r.Dir+".away"); err != nil {
		t.Fatal(err)
	}
	d.run()
	for range 3 {
		d.get("/m").expect(t, 200, "X-State", "failed")
		d.get("/m", "Cache-Control", "no-cache").expect(t, 200, "X-State", "failed")
	}
	d.logged("can't pull", 1)
	// Somebody says that there is news: the next GET tries again, once.
	d.post("m", r.Dir).expect(t, 500)
	for range 3 {
		d.get("/m").expect(t, 200, "X-State", "failed")
	}
	d.logged("can't pull", 3)
}

func TestContains(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	first := r.Commit("main", map[string]string{"file": "1"})
	server := origin.ServeHTTP(t, root)
	d := start(t, `retry = "1h"`)
	d.pulled("m", server.URL+"/r.git")
	second := r.Commit("main", map[string]string{"file": "2"})
	d.get("/m?contains="+first).expect(t, 200, "X-Revision", first)
	// Nobody has told the server: it finds out.
	d.get("/m?contains="+second).expect(t, 200, "X-Revision", second)
	d.get("/m?contains="+first).expect(t, 200, "X-Revision", second)
	// It is about the revision that is asked for, not about the mirror.
	side := r.Commit("side", map[string]string{"file": "s"})
	d.get("/m?contains="+side).expect(t, 412, "Retry-After", "3600").contains(t, "does not contain "+side)
	d.get("/m?ref=side&contains="+side).expect(t, 200, "X-Revision", side)
	// A pull has brought it; when it gets into the branch, that is found out soon.
	r.Git("update-ref", "refs/heads/main", side)
	eventually(t, "the commit in the branch", func() bool { return d.get("/m?contains="+side).StatusCode == 200 })
	r.Git("update-ref", "refs/heads/main", second)
	d.get("/m", "Cache-Control", "no-cache").expect(t, 200, "X-Revision", second)

	// Many clients that ask for what does not exist do not make a storm of pulls.
	server.Lists.Store(0)
	none := strings.Repeat("2", 40)
	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() { d.get("/m?contains="+none).expect(t, 412) })
	}
	clients.Wait()
	d.get("/m?contains="+none).expect(t, 412)
	if n := server.Lists.Load(); n > 2 {
		t.Errorf("the origin was asked %d times", n)
	}

	// While the origin is down, it is 412 as well, and never older content.
	server.Close()
	third := r.Commit("main", map[string]string{"file": "3"})
	d.get("/m?contains="+third).expect(t, 412)
	d.get("/m?contains="+second).expect(t, 200, "X-Revision", second)
}

func TestMirrorsThatAreCopiedAndRemovedByHand(t *testing.T) {
	r := newOrigin(t)
	r.Commit("main", map[string]string{"file": "two"})
	r.Git("update-ref", "refs/pull/1/head", "main")
	d := start(t)
	cp := func(from, name string) {
		t.Helper()
		if err := os.CopyFS(d.mirror(name), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}

	// Copied in from elsewhere, without an origin: it is served, and the first
	// POST sets the origin.
	cp(r.Dir, "in/copy")
	a := d.get("/in/copy").expect(t, 200, "X-State", "failed", "X-Revision", r.Git("rev-parse", "main"))
	if date, err := http.ParseTime(a.Header.Get("X-Date")); err != nil || time.Since(date) > time.Hour {
		t.Errorf("X-Date of a mirror never pulled is %q", a.Header.Get("X-Date"))
	}
	r.Git("update-ref", "-d", "refs/pull/1/head")
	d.pulled("in/copy", r.Dir)
	d.get("/in/copy?ref=refs/pull/1/head").expect(t, 200, "X-State", "success")
	other := newOrigin(t)
	d.post("in/copy", other.Dir).expect(t, 409)

	// Copied from another storage, with its origin.
	d.pulled("m", r.Dir)
	cp(d.mirror("m"), "copy")
	tip := r.Commit("main", map[string]string{"file": "three"})
	d.get("/copy").expect(t, 200, "X-State", "success", "X-Revision", tip)
	d.post("copy", other.Dir).expect(t, 409)

	// A clone's origin is its remote.origin.url.
	if out, err := origin.Command("clone", "--quiet", "--bare", r.Dir, d.mirror("clone")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d.get("/clone").expect(t, 200, "X-State", "success")
	d.post("clone", other.Dir).expect(t, 409).contains(t, "move="+r.Dir)

	// Removed by hand while the server runs.
	if err := os.RemoveAll(d.mirror("m")); err != nil {
		t.Fatal(err)
	}
	d.get("/m").expect(t, 404)
	d.pulled("m", other.Dir)
	d.get("/m").expect(t, 200, "X-Revision", other.Git("rev-parse", "main"))
	// Removed and at once replaced by another one.
	if err := os.RemoveAll(d.mirror("m")); err != nil {
		t.Fatal(err)
	}
	cp(r.Dir, "m")
	d.get("/m").expect(t, 200, "X-Revision", tip)

	// Broken: the answer says why.
	if err := os.WriteFile(filepath.Join(d.mirror("copy"), "sould.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.stop()
	d.run()
	d.get("/copy").expect(t, 500).contains(t, "can't read the mirror", "sould.json")
}

func TestLocalOriginsAreServedButNotUpdatedWithoutUnsecure(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	first := d.get("/m").Header.Get("X-Revision")
	d.stop()
	r.Commit("main", map[string]string{"file": "2"})
	d.flags = nil
	d.run()
	d.get("/m").expect(t, 200, "X-Revision", first, "X-State", "success")
	d.post("m", r.Dir).expect(t, 400).contains(t, "--unsecure")
	d.stop()
	d.flags = []string{"--insecure"}
	d.run()
	d.get("/m").expect(t, 200, "X-Revision", r.Git("rev-parse", "main"))
}
