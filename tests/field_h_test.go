package tests

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// wellFormed checks that a tree of reasons is one: a last branch has nothing beside it.
func wellFormed(t *testing.T, tree string) {
	t.Helper()
	ended := make(map[int]bool) // columns in which the last branch was
	for line := range strings.Lines(tree) {
		at := strings.IndexAny(line, "├└")
		if at < 0 {
			continue
		}
		column := len([]rune(line[:at]))
		for other := range ended {
			if other > column {
				delete(ended, other)
			}
		}
		if ended[column] {
			t.Errorf("two last branches stand beside each other:\n%s", tree)
			return
		}
		ended[column] = strings.HasPrefix(line[at:], "└")
	}
}

// counted stands before a server and counts what it is asked.
func counted(t *testing.T, target string, which func(*http.Request) bool) (address string, asked *atomic.Int64) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	asked = &atomic.Int64{}
	proxy := httputil.NewSingleHostReverseProxy(u)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if which(r) {
			asked.Add(1)
			if strings.HasSuffix(r.URL.Path, "/info/refs") {
				http.Error(w, "not for you", http.StatusInternalServerError)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

// anyRequest is any but the question at the start whether the peer is the server that asks.
func anyRequest(r *http.Request) bool { return r.URL.Path != "/x/health" }

// lost checks what a server says whose storage is lost, and that it is well when that is back.
func lost(t *testing.T, d *daemon, takeAway, bringBack func()) {
	t.Helper()
	date := d.get("/m").expect(t, 200).Header.Get("X-Date")
	takeAway()
	for _, path := range []string{"/m", "/m?format=zip", "/m/info/refs?service=git-upload-pack", "/never"} {
		a := d.get(path).expect(t, 503).contains(t, "the storage is not there any more, or another one is in its place")
		if path != "/never" && (a.Header.Get("X-Date") != date || a.Header.Get("X-State") != "success") {
			t.Errorf("GET %s: %v", path, a.Header)
		}
	}
	d.do("HEAD", "/m", nil).expect(t, 503)
	d.do("POST", "/m/git-upload-pack", strings.NewReader("0000"), "Content-Type", cloneRequest).expect(t, 503)
	s := d.status("")
	if s.Total != 1 || len(s.Mirrors) != 1 || s.Mirrors[0].State != "failed" || !strings.Contains(s.Error, "the storage is not there") {
		t.Errorf("the status is %+v", s)
	}
	eventually(t, "it is not well", func() bool { return d.get("/x/health").StatusCode == 503 })
	d.get("/x/health").contains(t, "the storage is not there")
	d.wait(`(?s)ERROR can't look through the storage.*the storage is not there`)
	d.post("m", newOrigin(t).Dir).expect(t, 500).contains(t, "the storage is not there")
	bringBack()
	d.get("/m").expect(t, 200, "X-Date", date)
	d.get("/never").expect(t, 404)
	if s := d.status(""); s.Total != 1 || s.Error != "" {
		t.Errorf("the status is %+v", s)
	}
	eventually(t, "it is well", func() bool { return d.get("/x/health").StatusCode == 200 })
}

// TestFieldH: the storage's own faults.
func TestFieldH(t *testing.T) {
	for what, try := range map[string]func(*testing.T){
		"something in the place of a mirror or its parent, on the master": func(t *testing.T) {
			slave := start(t)
			master := start(t, "master = true", slaves(slave.url))
			write := func(path string) {
				if err := os.WriteFile(master.mirror(path), []byte("milk"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("file")
			if err := os.Mkdir(master.mirror("notes"), 0o755); err != nil {
				t.Fatal(err)
			}
			write("notes/todo")
			if err := os.Symlink("nowhere", master.mirror("link")); err != nil {
				t.Fatal(err)
			}
			r := newOrigin(t)
			for name, words := range map[string]string{
				"file": "something else in its place: file", "file/m": "file is not a directory",
				"notes": "something else in its place: notes/todo", "link/m": "link is a symbolic link",
			} {
				a := master.post(name, r.Dir).expect(t, 500).contains(t, words)
				wellFormed(t, a.text())
				if !exists(slave.mirror(name + "/HEAD")) {
					t.Errorf("%s is not on the slave:\n%s", name, a.text())
				}
				slave.clear(name)
			}
			if got := read(t, master.mirror("file")); got != "milk" {
				t.Errorf("the file has %q", got)
			}
		},
		"a storage that was moved away": func(t *testing.T) {
			d := start(t)
			d.pulled("m", newOrigin(t).Dir)
			lost(t, d, func() {
				if err := os.Rename(d.storage, d.storage+".away"); err != nil {
					t.Fatal(err)
				}
			}, func() {
				if err := os.Rename(d.storage+".away", d.storage); err != nil {
					t.Fatal(err)
				}
			})
		},
		"another storage in its place": func(t *testing.T) {
			d := start(t)
			d.pulled("m", newOrigin(t).Dir)
			other := start(t)
			other.pulled("m", newOrigin(t).Dir)
			other.pulled("never", newOrigin(t).Dir)
			other.stop()
			var before string
			lost(t, d, func() {
				if err := os.Rename(d.storage, d.storage+".away"); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(other.storage, d.storage); err != nil {
					t.Fatal(err)
				}
				before = tree(t, d.storage)
			}, func() {
				if now := tree(t, d.storage); now != before {
					t.Errorf("the other storage was\n%snow it is\n%s", before, now)
				}
				if err := os.Rename(d.storage, other.storage); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(d.storage+".away", d.storage); err != nil {
					t.Fatal(err)
				}
			})
		},
		"a storage that is unmounted": func(t *testing.T) {
			dir := smallDisk(t, 16<<20)
			d := prepare(t)
			d.storage = dir
			d.configure()
			d.run()
			d.pulled("m", newOrigin(t).Dir)
			over := func(args ...string) {
				if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			lost(t, d, func() { over("mount", "-t", "tmpfs", "tmpfs", dir) }, func() { over("umount", dir) })
		},
		"a full disk asks nobody": func(t *testing.T) {
			dir := smallDisk(t, 16<<20)
			r, server, url := served(t)
			peer, asked := counted(t, start(t).url, anyRequest)
			d := prepare(t)
			d.storage = filepath.Join(dir, "storage")
			d.configure(peers(peer))
			d.run()
			d.pulled("m", url)
			r.Commit("main", map[string]string{"large": noise(1, 4<<20)})
			leave(t, filepath.Join(dir, "filler"), 1<<20)
			a := lowerCase(d.post("m", url)).expect(t, 500).contains(t, "No space left")
			wellFormed(t, a.text())
			if n := asked.Load(); n > 0 {
				t.Errorf("a peer was asked %d times:\n%s", n, a.text())
			}
			server.Close()
			leave(t, filepath.Join(dir, "more"), 0)
			a = lowerCase(d.post("m", url)).expect(t, 500).contains(t, "can't list refs", "can't use the storage", "No space left")
			wellFormed(t, a.text())
			if n := asked.Load(); n > 0 {
				t.Errorf("a peer was asked %d times:\n%s", n, a.text())
			}
		},
		"a peer that cannot be read is asked once": func(t *testing.T) {
			_, _, url := served(t)
			other := start(t)
			other.pulled("m", url)
			peer, asked := counted(t, other.url, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/info/refs") })
			d := cutOff(t, peers(peer))
			a := d.post("m", url).expect(t, 500).contains(t, "not for you")
			wellFormed(t, a.text())
			if n := asked.Load(); n != 1 {
				t.Errorf("it was asked %d times:\n%s", n, a.text())
			}
		},
		"a storage that cannot be written, and a dead origin": func(t *testing.T) {
			_, server, url := served(t)
			slave := start(t)
			slave.pulled("m", url)
			incoming := filepath.Join(slave.storage, ".sould", "incoming")
			if err := errors.Join(os.Remove(incoming), os.WriteFile(incoming, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			server.Close()
			master := start(t, "master = true", slaves(slave.url))
			for range 2 {
				for _, name := range []string{"m", "new"} {
					a := master.post(name, url).expect(t, 503).contains(t, "can't list refs", "can't use the storage", "not a directory")
					wellFormed(t, a.text())
				}
			}
		},
		"refs that cannot be read": func(t *testing.T) {
			_, server, url := served(t)
			d := start(t)
			d.pulled("m", url)
			date := d.get("/m").expect(t, 200).Header.Get("X-Date")
			server.Close()
			d.stop()
			d.replace("m/packed-refs", isDirectory)
			d.run()
			for _, path := range []string{"/m", "/m/info/refs?service=git-upload-pack"} {
				d.get(path).expect(t, 500, "X-State", "success", "X-Date", date)
			}
		},
	} {
		t.Run(what, func(t *testing.T) { t.Parallel(); try(t) })
	}
}

// clear removes a mirror by hand.
func (d *daemon) clear(name string) {
	d.t.Helper()
	if err := os.RemoveAll(d.mirror(name)); err != nil {
		d.t.Fatal(err)
	}
}
