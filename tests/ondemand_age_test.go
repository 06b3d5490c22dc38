package tests

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestMaxAge counts how often the origin is looked at. A clock that is set back cannot matter: the age is
// measured with the monotonic clock of the process.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	r := f.repo("acme/x")
	d := start(t, f.table(`max_age = "1h"`))
	readAll := func(n int) {
		t.Helper()
		var readers sync.WaitGroup
		for i := range n {
			readers.Go(func() {
				switch {
				case i%20 == 0:
					d.clone("2", "forge/acme/x")
				case i%2 == 0:
					d.get("/forge/acme/x/info/refs?service=git-upload-pack").expect(t, 200)
				default:
					d.get("/forge/acme/x").expect(t, 200, "X-State", "success")
				}
			})
		}
		readers.Wait()
	}
	readAll(100)
	commit := r.Commit("main", map[string]string{"file": "2"})
	readAll(100)
	if n := f.lists("acme/x"); n > 2 {
		t.Errorf("%d lists for 200 reads within max_age", n)
	}
	if a := d.get("/forge/acme/x"); a.Header.Get("X-Revision") == commit {
		t.Error("it was looked at within max_age")
	}
	d.get("/forge/acme/x", "Cache-Control", "no-cache").expect(t, 200, "X-Revision", commit)

	d.reload(f.table(`max_age = "0"`))
	for i := range 3 {
		commit, before := r.Commit("main", map[string]string{"file": fmt.Sprint("next", i)}), f.lists("acme/x")
		d.get("/forge/acme/x").expect(t, 200, "X-Revision", commit)
		d.get("/forge/acme/x").expect(t, 200, "X-Revision", commit)
		if n := f.lists("acme/x") - before; n < 2 || n > 3 { // two looks, and a transfer
			t.Errorf("%d lists for two reads with max_age 0", n)
		}
	}

	// A run that began longer ago than max_age is not good enough.
	d.reload(`patience = "1m"`, f.table(`max_age = "50ms"`))
	arrived, held := make(chan bool, 100), newHold(t)
	f.watch(func(*http.Request) { arrived <- true; held.wait() })
	before := f.lists("acme/x")
	posted := d.posting("forge/acme/x", f.URL+"/acme/x.git")
	<-arrived
	time.Sleep(60 * time.Millisecond)
	read := make(chan answer, 1)
	reading := make(chan bool)
	go func() { close(reading); a, _ := d.try("GET", "/forge/acme/x", nil); read <- a }()
	<-reading
	d.waitRead()
	time.Sleep(20 * time.Millisecond) // if it joined, it has by now
	held.release()
	(<-posted).expect(t, 200)
	(<-read).expect(t, 200)
	if n := f.lists("acme/x") - before; n != 2 {
		t.Errorf("%d lists for a POST and a read that came later, want 2", n)
	}

	// An origin that is gone is left alone for retry, and what is there is served.
	d.reload(`retry = "1h"`, f.table(`max_age = "0"`))
	f.Close()
	for range 3 {
		d.get("/forge/acme/x").expect(t, 200, "X-State", "failed")
	}
	d.logged("can't pull mirror=forge/acme/x", 1)
}
