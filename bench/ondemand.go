package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// clonesWithinMaxAge has 1,000 clients, 16 at once, clone a repository that nobody has POSTed, and
// counts how often the origin is asked for its refs in any version of the protocol.
func clonesWithinMaxAge(b *bench) []row {
	const clients, atOnce = 1000, 16
	root := b.TempDir()
	origin.New(b, filepath.Join(root, "r.git")).Commit("main", map[string]string{"file": "1"})
	forge := origin.ServeHTTP(b, root)
	var lists, others atomic.Int64
	forge.Before(func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			lists.Add(1)
		} else {
			others.Add(1)
		}
	})
	d := b.start("[[ondemand]]", `prefix = "forge/"`, fmt.Sprintf("origin = %q", forge.URL+"/{path}.git"), `max_age = "1h"`)
	defer d.finish()
	dirs := b.TempDir()
	places := make(chan bool, atOnce)
	began := time.Now()
	var all sync.WaitGroup
	for i := range clients {
		places <- true
		all.Go(func() {
			b.git("clone", "--quiet", "--bare", d.url+"/forge/r", filepath.Join(dirs, fmt.Sprint(i)))
			<-places
		})
	}
	all.Wait()
	return []row{{"1,000 clones of what nobody has POSTed: lists at the origin", float64(lists.Load()), "≤ 2",
		fmt.Sprintf("%d other requests, %.0f s", others.Load(), time.Since(began).Seconds())}}
}
