package tests

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// peers is a line of configuration that names these servers.
func peers(addresses ...string) string {
	return strings.Replace(slaves(addresses...), "slaves", "peers", 1)
}

// served is an origin behind smart HTTP that can be taken away.
func served(t *testing.T) (r *origin.Repo, server *origin.HTTP, url string) {
	t.Helper()
	r = newOrigin(t)
	server = origin.ServeHTTP(t, filepath.Dir(r.Dir))
	return r, server, server.URL + "/" + filepath.Base(r.Dir)
}

// cutOff starts a server that reaches other soulds, but no origin.
func cutOff(t *testing.T, lines ...string) *daemon {
	t.Helper()
	d := prepare(t, lines...)
	d.env = []string{"http_proxy=http://127.0.0.1:1"} // nobody listens there
	d.run()
	return d
}

// TestPullThroughAPeer: one server alone can reach the origin, and all can be current.
func TestPullThroughAPeer(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	a := start(t)
	b := cutOff(t, peers(a.url))
	address := strings.TrimPrefix(a.url, "http://")

	b.pulled("m", url).contains(t, "from "+address)
	b.get("/m").expect(t, 200, "X-State", "success", "X-Revision", r.Git("rev-parse", "main"))
	a.get("/m").expect(t, 200, "X-State", "success")
	commit := r.Commit("main", map[string]string{"file": "2"})
	b.pulled("m", url)
	b.get("/m").expect(t, 200, "X-Revision", commit)
	if from := b.status("&name=m").Mirrors[0].From; from != address {
		t.Errorf("the status says that it is from %q", from)
	}
	b.fsck("m")

	// Now nobody reaches it. The peer has something newer, which is better than nothing.
	commit = r.Commit("main", map[string]string{"file": "3"})
	date := b.get("/m").Header.Get("X-Date")
	eventually(t, "a later date", func() bool { a.pulled("m", url); return a.get("/m").Header.Get("X-Date") != date })
	date = a.get("/m").Header.Get("X-Date")
	server.Close()
	b.post("m", url).expect(t, 500).contains(t, "can't list refs", "peer "+address, "is here now")
	b.get("/m").expect(t, 200, "X-State", "failed", "X-Revision", commit, "X-Date", date)
	a.post("m", url).expect(t, 500) // it has no peers
	b.post("m", url).expect(t, 500)
	if n := strings.Count(b.post("m", url).text(), "is here now"); n != 0 {
		t.Error("took what it has already")
	}
}

// TestCredentialsOfAPeer: a server that was given none takes them from nowhere, but its
// peer has them.
func TestCredentialsOfAPeer(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	server.Require("jack", "correct horse")
	a := start(t)
	a.pulled("m", strings.Replace(url, "://", "://jack:correct%20horse@", 1))
	b := start(t, peers(a.url))
	b.pulled("m", url).contains(t, "from ")
	b.get("/m").expect(t, 200, "X-Revision", r.Git("rev-parse", "main"))
	if said := b.log.String() + b.get("/x/status").text(); strings.Contains(said, "horse") {
		t.Errorf("a password in %s", said)
	}
}

// TestRingWithoutAnOrigin: three servers that have all lost the origin ask each other,
// and nobody waits for himself.
func TestRingWithoutAnOrigin(t *testing.T) {
	t.Parallel()
	_, server, url := served(t)
	limits := []string{`list_timeout = "2s"`, `retry = 0`}
	var ring [3]*daemon
	for i := range ring {
		ring[i] = start(t)
		ring[i].pulled("m", url)
	}
	for i, d := range ring {
		d.reload(append(limits, peers(ring[(i+1)%3].url, ring[(i+2)%3].url, d.url))...)
	}
	server.Close()
	var clients sync.WaitGroup
	for i := range 30 {
		clients.Go(func() {
			d := ring[i%3]
			if i%2 == 0 {
				d.get("/m", "Cache-Control", "no-cache").expect(t, 200)
			} else {
				d.post("m", url).expect(t, 500)
			}
		})
	}
	clients.Wait()
	if said := ring[0].post("m", url).expect(t, 500).text(); strings.Contains(said, "this very server") || strings.Count(said, "\n") > 6 {
		t.Errorf("it says\n%s", said)
	}
	for _, d := range ring {
		d.get("/m").expect(t, 200, "X-State", "failed")
	}
}

// TestPeersThatAreNone answer anything but what a peer would.
func TestPeersThatAreNone(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	d := start(t, `timeout = "1s"`)
	d.pulled("m", url)
	server.Close()
	commit := d.get("/m").Header.Get("X-Revision")
	status := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.Method == "POST" {
				io.WriteString(w, `{"state": "success", "revision": "`+strings.Repeat("1", 40)+`"}`)
				return
			}
			io.WriteString(w, body)
		}
	}
	newer := fmt.Sprintf(`{"id": "y", "total": 1, "mirrors": [{"name": "m", "state": "success", "origin": %q,
		"modify_date": 4000000000, "fingerprint": "ff", "revision": "%040d"}]}`, url, 2)
	real := http.FileServer(http.Dir(r.Dir))
	for what, answer := range map[string]http.HandlerFunc{
		"garbage": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "\x00\x01{{") },
		"half":    status(newer[:len(newer)/2]),
		"a page":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, d.url+r.URL.Path, http.StatusTemporaryRedirect)
		},
		"nothing":        func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"no mirror":      status(newer),
		"another origin": status(strings.Replace(newer, url, "http://elsewhere.example/x", 1)),
		"other content": func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/x/") || r.Method == "POST" {
				status(newer)(w, r)
			} else {
				real.ServeHTTP(w, r)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			peer := httptest.NewServer(answer)
			defer peer.Close()
			defer peer.CloseClientConnections()
			d.reload(`timeout = "1s"`, peers(peer.URL))
			d.post("m", url).expect(t, 500).contains(t, "peer "+strings.TrimPrefix(peer.URL, "http://"))
			d.get("/m").expect(t, 200, "X-State", "failed", "X-Revision", commit)
		})
	}
}

// TestWipedServer: the origin is gone for good, and a server has lost everything.
func TestWipedServer(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	r.Commit("topic", map[string]string{"more": "x"})
	r.Git("tag", "-m", "first", "v1", "main")
	names := []string{"pool/a", "pool/b", "c"}
	port := "127.0.0.1:" + freePort(t)
	fast := `repair = "300ms"`
	var all [3]*daemon
	for i := range all {
		lines := []string{fast}
		if i == 0 {
			lines = append(lines, fmt.Sprintf("listen = %q", port))
		}
		all[i] = start(t, lines...)
		for _, name := range names {
			all[i].pulled(name, url)
		}
	}
	wiped := all[0]
	for i, d := range all {
		lines := []string{fast, peers(all[(i+1)%3].url, all[(i+2)%3].url)}
		if i == 0 {
			lines = append(lines, fmt.Sprintf("listen = %q", port))
		}
		d.reload(lines...)
	}
	before := wiped.get("/c?format=tar.gz")
	server.Close()
	if err := os.RemoveAll(r.Dir); err != nil {
		t.Fatal(err)
	}
	wiped.stop()
	if err := os.RemoveAll(wiped.storage); err != nil {
		t.Fatal(err)
	}
	wiped.run()
	for _, name := range names {
		eventually(t, name+" is back", func() bool { return wiped.get("/"+name).StatusCode == http.StatusOK })
		wiped.fsck(name)
		if got, want := refs(t, wiped.mirror(name)), refs(t, all[1].mirror(name)); got != want {
			t.Errorf("%s: refs are\n%s, want\n%s", name, got, want)
		}
	}
	after := wiped.get("/c?format=tar.gz").expect(t, 200, "Etag", before.Header.Get("Etag"), "X-State", "failed",
		"X-Date", all[1].get("/c").Header.Get("X-Date"))
	if string(after.body) != string(before.body) {
		t.Error("the archive has other bytes")
	}
	clone := filepath.Join(t.TempDir(), "clone")
	if out, err := origin.Command("clone", "--quiet", "--mirror", wiped.url+"/c", clone).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, want := refs(t, clone), refs(t, all[1].mirror("c")); got != want {
		t.Errorf("the clone has\n%s, want\n%s", got, want)
	}
}

// TestNothingOlderFromAPeer: what a peer has is not newer because its pull took longer, or
// because both were made in one second.
func TestNothingOlderFromAPeer(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	slow, quick := start(t), []string{"q0", "q1", "q2", "q3", "q4", "q5"}
	d := start(t, peers(slow.url))
	fetching, held := make(chan bool, 1), newHold(t)
	var one atomic.Bool
	server.Before(func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
			if one.CompareAndSwap(false, true) {
				fetching <- true
				held.wait()
			}
		}
	})
	var pulling sync.WaitGroup
	pulling.Go(func() { slow.pulled("m", url) })
	<-fetching
	newest := make(map[string]string)
	for i, name := range quick {
		slow.pulled(name, url)
		newest[name] = r.Commit("main", map[string]string{"file": fmt.Sprint(i)})
		d.pulled(name, url)
	}
	d.pulled("m", url)
	newest["m"] = newest[quick[len(quick)-1]]
	second := time.Now().Unix()
	eventually(t, "the next second", func() bool { return time.Now().Unix() > second })
	held.release()
	pulling.Wait()
	if got := slow.get("/m").Header.Get("X-Revision"); got == newest["m"] {
		t.Fatal("the slow pull was not slow")
	}
	server.Close()
	for _, name := range append(quick, "m") {
		d.post(name, url).expect(t, 500)
		d.get("/"+name).expect(t, 200, "X-State", "failed", "X-Revision", newest[name])
	}
}

// TestAPullThatIsOvertaken while it asks peers: another server has the mirror pulled from
// the origin, which is back. What the peer has is older then.
func TestAPullThatIsOvertaken(t *testing.T) {
	t.Parallel()
	r, server, url := served(t)
	behind := func(lines ...string) (*daemon, *origin.Proxy) {
		proxy := origin.NewProxy(t, server.URL)
		d := prepare(t, lines...)
		d.env = []string{"http_proxy=http://" + proxy.Addr}
		d.run()
		return d, proxy
	}
	peer, peersOrigin := behind()
	d, itsOrigin := behind(peers(peer.url))
	d.pulled("m", url)
	r.Commit("main", map[string]string{"file": "2"})
	peer.pulled("m", url)
	newest := r.Commit("main", map[string]string{"file": "3"})

	itsOrigin.Set(origin.Fault{Refuse: true})
	peersOrigin.Set(origin.Fault{Mute: true})
	var posting sync.WaitGroup
	posting.Go(func() { d.post("m", url).expect(t, 200) })
	eventually(t, "the peer pulls", func() bool { return peer.status("&name=m").Mirrors[0].State == "processing" })
	itsOrigin.Set(origin.Fault{})
	d.do("POST", "/", form("m", url), "Content-Type", formType, "Sould-Peer", "another").expect(t, 200)
	peersOrigin.HangUp()
	posting.Wait()
	if got, want := refs(t, d.mirror("m")), refs(t, r.Dir); got != want {
		t.Errorf("refs are\n%s, want\n%s", got, want)
	}
	d.get("/m").expect(t, 200, "X-State", "success", "X-Revision", newest)
}
