package tests

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestFirstReadsOnSeveralServers: a first read is the server's own business, and what a peer has comes
// from there.
func TestFirstReadsOnSeveralServers(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	r := f.repo("acme/x")
	f.repo("acme/posted")
	table := f.table(`max_age = "0"`)
	slave := start(t, table)
	master := start(t, "master = true", `repair = "200ms"`, slaves(slave.url), table)
	third := start(t, peers(master.url, slave.url), table)

	slave.get("/forge/acme/x").expect(t, 200)
	fetches := f.Fetches.Load()
	third.get("/forge/acme/x").expect(t, 200, "X-State", "success")
	third.made("forge/acme/x", f.URL+"/acme/x.git", true)
	if n := f.Fetches.Load() - fetches; n != 0 {
		t.Errorf("the origin sent objects %d times, although a peer has them", n)
	}

	// What the peer has is older: the origin is looked at all the same.
	commit := r.Commit("main", map[string]string{"file": "2"})
	cold := start(t, peers(slave.url), table)
	cold.get("/forge/acme/x").expect(t, 200, "X-State", "success", "X-Revision", commit)
	away := cutOff(t, peers(slave.url), table)
	away.get("/forge/acme/x").expect(t, 200, "X-Revision", commit) // the peer was asked to look
	away.get("/forge/acme/none").expect(t, 502)

	// The reconciler copies what was POSTed, and nothing else.
	slave.pulled("forge/acme/posted", f.URL+"/acme/posted.git")
	eventually(t, "the master has what was posted", func() bool { return master.get("/x/status?name=forge/acme/posted").StatusCode == 200 })
	master.get("/x/status?name=forge/acme/x").expect(t, 404)
	for _, d := range []*daemon{master, slave, third} {
		d.get("/x/status?name=forge/acme/none").expect(t, 404)
	}
	master.get("/forge/acme/x").expect(t, 200, "X-Revision", commit)
	master.made("forge/acme/x", f.URL+"/acme/x.git", true)

	// That the slaves lack one is no error.
	f.repo("acme/alone")
	master.get("/forge/acme/alone").expect(t, 200)
	master.get("/x/status?name=forge/acme/alone").expect(t, 200).contains(t, "error: 0 (0.00%)")

	// A POST makes it everybody's.
	master.do("POST", "/", strings.NewReader("name=forge/acme/x"), "Content-Type", formType).expect(t, 200)
	slave.made("forge/acme/x", f.URL+"/acme/x.git", false)
	master.made("forge/acme/x", f.URL+"/acme/x.git", false)
}

// TestPeersDoNotMakeWhatTheyLack: a server that cannot reach the origin has no peer make the mirror.
func TestPeersDoNotMakeWhatTheyLack(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.repo("acme/x")
	peer := start(t, f.table())
	away := cutOff(t, peers(peer.url), f.table())
	away.get("/forge/acme/x").expect(t, 502)
	peer.get("/x/status?name=forge/acme/x").expect(t, 404)
	if n := f.lists("acme/x"); n != 0 {
		t.Errorf("the peer has asked the origin %d times", n)
	}

	// Nor when it has the mirror, of which another peer is gone.
	holder := start(t, f.table())
	holder.get("/forge/acme/x").expect(t, 200)
	away.reload("retry = 0", peers(peer.url, holder.url), f.table())
	away.get("/forge/acme/x").expect(t, 200)
	holder.stop()
	away.get("/forge/acme/x", "Cache-Control", "no-cache").expect(t, 200, "X-State", "failed")
	peer.get("/x/status?name=forge/acme/x").expect(t, 404)
}

// TestOriginIsLookedAtAfterAPeer: who reads while a mirror has only what a peer had waits as well.
func TestOriginIsLookedAtAfterAPeer(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	r := f.repo("acme/x")
	holder := start(t, f.table())
	holder.get("/forge/acme/x").expect(t, 200)
	commit := r.Commit("main", map[string]string{"file": "2"})
	arrived, held := make(chan bool, 10), newHold(t)
	f.watch(func(*http.Request) { arrived <- true; held.wait() })
	d := start(t, `patience = "1m"`, peers(holder.url), f.table())
	var readers sync.WaitGroup
	read := func() {
		readers.Go(func() {
			if a, err := d.try("GET", "/forge/acme/x", nil); err != nil || a.StatusCode != 200 || a.Header.Get("X-Revision") != commit {
				t.Errorf("a reader gets %v, %v, %v; want %s", a.Status, a.Header, err, commit)
			}
		})
	}
	read()
	<-arrived
	if !exists(d.mirror("forge/acme/x")) {
		t.Error("the origin is asked before the peer")
	}
	read()
	d.waitRead()
	held.release()
	readers.Wait()
	d.made("forge/acme/x", f.URL+"/acme/x.git", true)
}

// TestPostOfWhatAReadHasMade: the spelling of an origin that a table makes does not stand against a POST,
// on whatever server a read came first. Another repository does.
func TestPostOfWhatAReadHasMade(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.repo("acme/x")
	slave := start(t, f.table())
	master := start(t, "master = true", slaves(slave.url), f.table())
	for _, d := range []*daemon{slave, master} {
		d.get("/forge/acme/x").expect(t, 200)
	}
	master.post("forge/acme/x", f.URL+"/acme/y").expect(t, 409)
	master.post("forge/acme/x", f.URL+"/acme/x").expect(t, 200)
	for _, d := range []*daemon{slave, master} {
		d.made("forge/acme/x", f.URL+"/acme/x", false)
	}
	master.post("forge/acme/x", f.URL+"/acme/x.git").expect(t, 409)
}
