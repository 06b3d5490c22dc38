package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// byHand makes a mirror as people make it who have no sould, and returns the
// arguments of the git command that updates it.
func (b *bench) byHand(url string) []string {
	dir := filepath.Join(b.TempDir(), "by-hand.git")
	b.git("clone", "--quiet", "--bare", url, dir)
	b.git("--git-dir="+dir, "config", "--add", "remote.origin.fetch", "+refs/heads/*:refs/heads/*")
	b.git("--git-dir="+dir, "config", "--add", "remote.origin.fetch", "+refs/tags/*:refs/tags/*")
	fetch := []string{"--git-dir=" + dir, "fetch", "--quiet", "--prune", "origin"}
	b.git(fetch...)
	return fetch
}

func postNothingNew(b *bench) []row {
	d := b.start()
	defer d.stop()
	d.post("m", b.origin)
	fetch := b.byHand(b.origin)
	ratio, ours, theirs := b.pairs(func() {}, func() { d.post("m", b.origin) }, func() { b.git(fetch...) })
	return []row{{"POST, nothing new, over git fetch --prune by hand", ratio, "≤ 0.6", ms(ours) + " / " + ms(theirs)}}
}

// own is a repository that can be pushed to.
func (b *bench) own() *origin.Repo { return generate(b, filepath.Join(b.TempDir(), "own.git")) }

func postOneCommit(b *bench) []row {
	r := b.own()
	d := b.start()
	defer d.stop()
	d.post("m", r.Dir)
	fetch := b.byHand(r.Dir)
	n := 0
	ratio, ours, theirs := b.pairs(
		func() { n++; r.Commit("main", map[string]string{"new": fmt.Sprint(n)}) },
		func() { d.post("m", r.Dir) },
		func() { b.git(fetch...) },
	)
	return []row{{"POST, one new commit, over the same", ratio, "≤ 1.25", ms(ours) + " / " + ms(theirs)}}
}

func postAtOnce(b *bench) []row {
	root := b.TempDir()
	r := generate(b, filepath.Join(root, "r.git"))
	server := origin.ServeHTTP(b, root)
	d := b.start()
	defer d.stop()
	d.post("m", server.URL+"/r.git")
	r.Commit("main", map[string]string{"new": "1"})
	server.Lists.Store(0)
	server.Fetches.Store(0)
	var posts sync.WaitGroup
	for range 100 {
		posts.Go(func() { d.post("m", server.URL+"/r.git") })
	}
	posts.Wait()
	note := fmt.Sprintf("%d lists of refs, %d requests for objects", server.Lists.Load(), server.Fetches.Load())
	return []row{{"100 POSTs at once: pulls at the origin", float64(server.Lists.Load()), "≤ 2", note}}
}

// fakes are slaves that take some time to answer 200. It returns the line of
// configuration that names them.
func (b *bench) fakes(n int, takes time.Duration, took func(time.Duration)) string {
	handler := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		began := time.Now()
		_ = q.ParseForm()
		time.Sleep(takes)
		_, _ = w.Write([]byte("ok\n"))
		took(time.Since(began))
	})
	return b.serve(n, handler)
}

func fanOut(b *bench) []row {
	r := origin.New(b, filepath.Join(b.TempDir(), "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	var mu sync.Mutex
	var slowest time.Duration
	line := b.fakes(20, 100*time.Millisecond, func(took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		slowest = max(slowest, took)
	})
	d := b.start("master = true", line)
	defer d.stop()
	d.post("m", r.Dir)
	var ratios []float64
	var times []time.Duration
	for range b.n {
		slowest = 0
		took := timed(func() { d.post("m", r.Dir) })
		ratios = append(ratios, float64(took)/float64(slowest))
		times = append(times, took)
	}
	return []row{{"master with 20 slaves that take 100 ms, over the slowest slave", median(ratios), "≤ 1.2", ms(median(times))}}
}
