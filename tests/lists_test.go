package tests

import (
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

// TestNothingNewStartsNoProcess: a POST, and a reader who insists, of mirrors whose origins have
// nothing new. What is said of them is true all the same.
func TestNothingNewStartsNoProcess(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	root, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	secret := t.TempDir()
	web := origin.ServeHTTP(t, root)
	tls, ca := origin.ServeHTTPS(t, root)
	private := origin.ServeHTTP(t, secret)
	private.Require("jack", "s3cr3t-p4ss")
	withUser := strings.Replace(private.URL, "http://", "http://jack:s3cr3t-p4ss@", 1)

	d := prepare(t, fmt.Sprintf("ca_file = %q", ca))
	d.before = []string{"strace", "-D", "-f", "-o", trace, "-e", "trace=execve"}
	d.run()
	urls := make(map[string]string)
	repos := make(map[string]*origin.Repo)
	add := func(name, base, root string, options ...string) {
		repos[name] = origin.New(t, filepath.Join(root, name+".git"), options...)
		urls[name] = base + "/" + name + ".git"
	}
	add("web", web.URL, root)
	add("tls", tls.URL, root)
	add("private", withUser, secret)
	add("sha256", web.URL, root, "--object-format=sha256")
	for name, r := range repos {
		r.Commit("main", map[string]string{"file": "1"})
		r.Git("tag", "-am", "m", "v1", "main")
		d.pulled(name, urls[name]).contains(t, "2 refs changed")
	}
	add("empty", web.URL, root)
	d.pulled("empty", urls["empty"])

	d.get("/web").expect(t, 200)

	started := func() int { return strings.Count(read(t, trace), "execve(") }
	traced := func(prefix string) { // all that was started before is in the trace now
		t.Helper()
		d.get("/web?prefix="+prefix).expect(t, 200)
		eventually(t, "the trace", func() bool { return strings.Count(read(t, trace), `"--prefix=`+prefix) == 1 })
	}
	traced("first/")
	before := started()
	for range 5 {
		for name, url := range urls {
			d.pulled(name, url).contains(t, "unchanged")
		}
		d.get("/web", "Cache-Control", "no-cache").expect(t, 200)
	}
	traced("second/")
	if n := started() - before; n != 1 {
		t.Errorf("%d processes were started:\n%s", n-1, read(t, trace))
	}
	for name, url := range urls {
		revision := repos[name].Commit("main", map[string]string{"file": "2"})
		d.pulled(name, url)
		d.get("/"+name).expect(t, 200, "X-Revision", revision, "X-State", "success")
	}
}

// TestReloadClosesConnections: the next list uses the certificates of the new configuration, and a
// connection that was made with the old ones is gone.
func TestReloadClosesConnections(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	origin.New(t, filepath.Join(root, "r.git")).Commit("main", map[string]string{"file": "1"})
	server, ca := origin.ServeHTTPS(t, root)
	var mu sync.Mutex // guards seen
	seen := make(map[string]bool)
	server.Before(func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.RemoteAddr] = true
	})
	connections := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen)
	}
	line := fmt.Sprintf("ca_file = %q", ca)
	d := start(t, line)
	d.pulled("m", server.URL+"/r.git")
	d.pulled("m", server.URL+"/r.git")
	before := connections()
	d.pulled("m", server.URL+"/r.git")
	if n := connections(); n != before {
		t.Errorf("%d new connections for a second list", n-before)
	}
	d.reload(line)
	d.pulled("m", server.URL+"/r.git")
	if n := connections(); n != before+1 {
		t.Errorf("%d new connections after a reload", n-before)
	}
	none := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.reload(fmt.Sprintf("ca_file = %q", none))
	d.post("m", server.URL+"/r.git").expect(t, 500).contains(t, "certificate")
}
