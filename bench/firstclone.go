package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// firstClone compares clones of a mirror that is made on demand with a clone of its origin over http, in
// turn: the first, for which the mirror is made, and later ones. With few CPUs the first one waits
// for them: the origin, the server and the client work at the same time, and each index of the
// pack costs as much as the other. So the CPU time of each is in the notes.
func firstClone(b *bench) []row {
	dir, _ := b.herdOrigin()
	url, name := dir, "r"
	if !strings.Contains(url, "://") {
		url, name = origin.ServeHTTP(b, filepath.Dir(dir)).URL+"/"+filepath.Base(dir), strings.TrimSuffix(filepath.Base(dir), ".git")
	}
	base, file := url[:strings.LastIndexByte(url, '/')], filepath.Ext(url)
	clone := filepath.Join(b.TempDir(), "clone.git")
	var first, later, server []float64                            // over the direct one
	var direct, firstTook, laterTook, ours, its, client []float64 // seconds
	for range max(3, b.n/6) {
		run := func(url string) (took, cpu time.Duration) {
			took = timed(func() { cpu = b.spent(origin.Command("clone", "--quiet", "--bare", url, clone)) })
			b.check(os.RemoveAll(clone))
			return took, cpu
		}
		before := b.cpuOfAll(os.Getpid())
		took, cpu := run(url)
		atOrigin := b.cpuOfAll(os.Getpid()) - before - cpu // 0 if the origin is another machine's
		direct, its, client = append(direct, took.Seconds()), append(its, atOrigin.Seconds()), append(client, cpu.Seconds())

		d := b.start("[[ondemand]]", `prefix = "o/"`, fmt.Sprintf("origin = %q", base+"/{path}"+file), `max_age = "1h"`)
		mirror := d.url + "/o/" + name
		firstly, _ := run(mirror)
		ours = append(ours, b.cpuOfAll(d.pid).Seconds())
		run(mirror) // its pack is made by git, and kept since it is asked for again
		run(mirror)
		before = b.cpuOfAll(d.pid)
		afterwards, _ := run(mirror)
		sent := b.cpuOfAll(d.pid) - before
		d.finish()
		firstTook, laterTook = append(firstTook, firstly.Seconds()), append(laterTook, afterwards.Seconds())
		first = append(first, firstly.Seconds()/took.Seconds())
		later = append(later, afterwards.Seconds()/took.Seconds())
		server = append(server, sent.Seconds()/max(atOrigin.Seconds(), 0.01))
	}
	return []row{
		{"first clone of a mirror that makes itself over a direct clone", median(first), "≤ 1.1", fmt.Sprintf(
			"%.1f s / %.1f s; CPU of the client %.1f s, of the origin %.1f s, of sould %.1f s",
			median(firstTook), median(direct), median(client), median(its), median(ours))},
		{"later clones over a direct one", median(later), "≤ 0.3", fmt.Sprintf("%.1f s / %.1f s", median(laterTook), median(direct))},
		{"CPU of sending the shared pack over the origin's", median(server), "≤ 0.1", ""},
	}
}
