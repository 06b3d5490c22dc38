package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestPeerThatIsAlwaysAtWork is not asked thousands of times.
func TestPeerThatIsAlwaysAtWork(t *testing.T) {
	t.Parallel()
	_, server, url := served(t)
	d := start(t)
	d.pulled("m", url)
	server.Close()
	var asked atomic.Int64
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method != "POST" {
			http.Error(w, "no", 404)
			return
		}
		asked.Add(1)
		w.WriteHeader(202)
		io.WriteString(w, `{"state": "processing"}`)
	}))
	defer peer.Close()
	d.reload(`timeout = "1s"`, `fetch_timeout = "3s"`, peers(peer.URL))
	d.post("m", url).expect(t, 500)
	if n := asked.Load(); n > 10 {
		t.Errorf("asked %d times", n)
	}
}

// mute is a server that takes connections and says nothing.
func mute(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "http://" + l.Addr().String()
}

// TestSilentPeer keeps nobody from asking another one.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	_, _, url := served(t)
	a := start(t)
	b := cutOff(t, `timeout = "10m"`, peers(mute(t), a.url))
	began := time.Now()
	b.pulled("m", url)
	if took := time.Since(began); took > patient {
		t.Errorf("took %s", took)
	}
}

// TestPullThroughABusyPeer, which is pushed to all the time.
func TestPullThroughABusyPeer(t *testing.T) {
	t.Parallel()
	r, _, url := served(t)
	a := start(t)
	b := cutOff(t, peers(a.url))
	a.pulled("m", url)
	stop := newHold(t)
	var pushing sync.WaitGroup
	pushing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop.c:
				return
			default:
				r.Commit("main", map[string]string{"file": fmt.Sprint(i)})
				a.post("m", url)
			}
		}
	})
	for range 10 {
		b.post("m", url).expect(t, 200)
	}
	stop.release()
	pushing.Wait()
}

// TestRetryInARing: two servers that have lost the origin leave it alone, although they
// ask each other.
func TestRetryInARing(t *testing.T) {
	t.Parallel()
	_, server, url := served(t)
	var pair [2]*daemon
	for i := range pair {
		pair[i] = start(t, `retry = "1m"`)
		pair[i].pulled("m", url)
	}
	for i, d := range pair {
		d.reload(`retry = "1m"`, peers(pair[1-i].url))
	}
	server.Close()
	for _, d := range pair {
		d.post("m", url).expect(t, 500)
	}
	for range 10 {
		for _, d := range pair {
			d.get("/m").expect(t, 200)
		}
	}
	for _, d := range pair { // a POST and a GET of its own, and as much for the other one
		if n := strings.Count(d.log.String(), "can't pull"); n > 5 {
			t.Errorf("pulled %d times", n)
		}
	}
}

// TestPeerThatKnowsNoOrigin: its mirror may be of anything.
func TestPeerThatKnowsNoOrigin(t *testing.T) {
	t.Parallel()
	_, server, url := served(t)
	a := start(t)
	b := start(t, peers(a.url))
	other := newOrigin(t)
	other.Commit("main", map[string]string{"file": "other"})
	if err := os.CopyFS(a.mirror("m"), os.DirFS(other.Dir)); err != nil {
		t.Fatal(err)
	}
	server.Close()
	b.post("m", url).expect(t, 500)
	b.get("/m").expect(t, 404)
	if got, want := refs(t, a.mirror("m")), refs(t, other.Dir); got != want {
		t.Errorf("the peer has\n%s, want\n%s", got, want)
	}
}

// TestPeerWithOtherRefs: what it does not take from the origin must not be lost here.
func TestPeerWithOtherRefs(t *testing.T) {
	t.Parallel()
	for _, empty := range []bool{true, false} {
		t.Run(fmt.Sprintf("without the mirror=%v", empty), func(t *testing.T) {
			t.Parallel()
			r, _, url := served(t)
			r.Git("tag", "v1", "main")
			a := start(t, `refs = ["refs/heads/*"]`)
			if !empty {
				a.pulled("m", url)
			}
			b := start(t, peers(a.url))
			b.pulled("m", url)
			want := refs(t, b.mirror("m"))
			b.stop()
			b.env = []string{"http_proxy=http://127.0.0.1:1"}
			b.run()
			r.Commit("main", map[string]string{"file": "x"})
			b.post("m", url).expect(t, 500).contains(t, "its mirrors contain other refs (refs/heads/*)")
			if got := refs(t, b.mirror("m")); got != want {
				t.Errorf("refs are\n%s, want\n%s", got, want)
			}
		})
	}
}

// TestSlaveWithOtherRefs is compared by what both take, and not asked to pull for ever.
func TestSlaveWithOtherRefs(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	r.Git("tag", "v1", "main")
	address := "127.0.0.1:" + freePort(t)
	slave := start(t, fmt.Sprintf("listen = %q", address), `refs = ["refs/heads/*"]`)
	statuses := make(chan int, 1000)
	master := start(t, "master = true", slaves(answering(t, slave.url, statuses)), `repair = "50ms"`)
	master.pulled("m", r.Dir)
	master.wait(`WARN a slave's mirrors contain other refs .* refs=refs/heads/\*`)
	for unchanged := 0; unchanged < 3; {
		if <-statuses == 304 {
			unchanged++
		} else {
			unchanged = 0
		}
	}
	slave.stop()
	commit := r.Commit("main", map[string]string{"file": "2"})
	master.post("m", r.Dir).expect(t, 502)
	slave.run()
	eventually(t, "it is repaired", func() bool { return strings.Contains(refs(t, slave.mirror("m")), commit) })
}

// TestRepairOfAMove: a slave that has missed it follows, also if its old origin is there.
func TestRepairOfAMove(t *testing.T) {
	t.Parallel()
	r, s := newOrigin(t), newOrigin(t)
	address := "127.0.0.1:" + freePort(t)
	slave := start(t, fmt.Sprintf("listen = %q", address))
	master := start(t, "master = true", slaves(address), `repair = "500ms"`)
	master.pulled("m", r.Dir)
	slave.stop()
	s.Commit("main", map[string]string{"file": "other"})
	master.post("m", s.Dir, "move", r.Dir).expect(t, 502)
	slave.run()
	slave.get("/m").expect(t, 200)
	eventually(t, "it follows", func() bool { return refs(t, slave.mirror("m")) == refs(t, s.Dir) })
}

// TestMirrorThatHasForgottenItsOrigin is built anew all the same: a peer knows it.
func TestMirrorThatHasForgottenItsOrigin(t *testing.T) {
	t.Parallel()
	_, _, url := served(t)
	a := start(t)
	b := start(t, peers(a.url), `repair = "300ms"`)
	a.pulled("m", url)
	b.pulled("m", url)
	b.stop()
	for _, file := range []string{"/sould.json", "/config"} {
		if err := os.Truncate(b.mirror("m")+file, 0); err != nil {
			t.Fatal(err)
		}
	}
	b.run()
	eventually(t, "it is back", func() bool {
		s := b.status("") // tells of none before it is read
		return len(s.Mirrors) == 1 && s.Mirrors[0].State == "success"
	})
	b.fsck("m")
	b.get("/m").expect(t, 200)
}
