package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// originOverHTTP returns the URL of an origin over http, and what a mirror of it is called for which
// these lines of a configuration have a table.
func (b *bench) originOverHTTP() (url, mirror string, table []string) {
	dir, _ := b.herdOrigin()
	url, name := dir, "r"
	if !strings.Contains(url, "://") {
		url, name = origin.ServeHTTP(b, filepath.Dir(dir)).URL+"/"+filepath.Base(dir), strings.TrimSuffix(filepath.Base(dir), ".git")
	}
	base, file := url[:strings.LastIndexByte(url, '/')], filepath.Ext(url)
	return url, "/o/" + name, []string{"[[ondemand]]", `prefix = "o/"`, fmt.Sprintf("origin = %q", base+"/{path}"+file), `max_age = "1h"`}
}

// clone makes a bare clone and removes it. The CPU time is that of git, without the server's.
func (b *bench) clone(url string, options ...string) (took, cpu time.Duration) {
	dir := filepath.Join(b.TempDir(), "clone.git")
	args := append([]string{"clone", "--quiet", "--bare"}, options...)
	took = timed(func() { cpu = b.spent(origin.Command(append(args, url, dir)...)) })
	b.check(os.RemoveAll(dir))
	return took, cpu
}

// cloneOfOrigin is clone, and tells what it costs an origin of this process as well: 0 if the origin is
// another machine's.
func (b *bench) cloneOfOrigin(url string, options ...string) (took, cpu, atOrigin time.Duration) {
	before := b.cpuOfAll(os.Getpid())
	took, cpu = b.clone(url, options...)
	return took, cpu, b.cpuOfAll(os.Getpid()) - before - cpu
}

// firstClone compares clones of a mirror that is made on demand with a clone of its origin over http, in
// turn: the first, for which the mirror is made, and later ones. With few CPUs the first one waits
// for them: the origin, the server and the client work at the same time, and each index of the
// pack costs as much as the other. So the CPU time of each is in the notes.
func firstClone(b *bench) []row {
	url, name, table := b.originOverHTTP()
	var first, later, server []float64                            // over the direct one
	var direct, firstTook, laterTook, ours, its, client []float64 // seconds
	for range max(3, b.n/6) {
		took, cpu, atOrigin := b.cloneOfOrigin(url)
		direct, its, client = append(direct, took.Seconds()), append(its, atOrigin.Seconds()), append(client, cpu.Seconds())

		d := b.start(table...)
		mirror := d.url + name
		firstly, _ := b.clone(mirror)
		ours = append(ours, b.cpuOfAll(d.pid).Seconds())
		b.clone(mirror) // its pack is made by git, and kept since it is asked for again
		b.clone(mirror)
		before := b.cpuOfAll(d.pid)
		afterwards, _ := b.clone(mirror)
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

// shallowClones compares clones of depth 1, as CI jobs make them, of a mirror from which others have cloned so
// with those of its origin over http, in turn, and which of them is first in turn as well.
func shallowClones(b *bench) []row {
	const depth = "--depth=1"
	url, name, table := b.originOverHTTP()
	d := b.start(table...)
	defer d.stop()
	mirror := d.url + name
	for range 3 { // the mirror is made; git makes the pack; it is kept since it is asked for again
		b.clone(mirror, depth)
	}
	var direct, ours time.Duration // CPU in all; that of one clone may be no tick
	a, other := func() {
		before := b.cpuOfAll(d.pid)
		b.clone(mirror, depth)
		ours += b.cpuOfAll(d.pid) - before
	}, func() {
		_, _, atOrigin := b.cloneOfOrigin(url, depth)
		direct += atOrigin
	}
	ratio, took, directly := b.pairs(func() {}, a, other)
	n := time.Duration(b.n + 2)
	return []row{
		{"later clones of depth 1 over direct ones", ratio, "", fmt.Sprintf("%s / %s", ms(took), ms(directly))},
		{"the same: CPU of sould over the origin's", ours.Seconds() / max(direct.Seconds(), 0.01), "", fmt.Sprintf("%s / %s", ms(ours/n), ms(direct/n))},
	}
}
