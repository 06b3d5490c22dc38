package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// clones compares clones of one mirror, as it lies in sould's storage, through sould,
// through git http-backend and through git daemon, in turn.
func clones(b *bench) []row {
	d := b.start()
	defer d.stop()
	d.post("m", b.origin)
	urls := []string{
		d.url + "/m",
		"http://" + b.alternative("serve-cgi", d.storage) + "/m",
		origin.ServeGit(b, d.storage) + "/m",
	}
	dir := filepath.Join(b.TempDir(), "clone")
	rows := []row{b.cloneRow("clone over the faster of git http-backend (cgi) and git daemon", urls, "≤ 1.05", func(url string) time.Duration {
		return timed(func() { b.git("clone", "--quiet", "--bare", url, dir) })
	}, func() { b.check(os.RemoveAll(dir)) })}
	b.git("clone", "--quiet", "--bare", urls[0], dir)
	return append(rows, b.cloneRow("fetch with nothing new over the same", urls, "", func(url string) time.Duration {
		return timed(func() { b.git("--git-dir="+dir, "fetch", "--quiet", url, "+refs/*:refs/*") })
	}, func() {}))
}

// cloneRow measures all in turn, and which of them is first in turn as well. The first
// is ours.
func (b *bench) cloneRow(what string, urls []string, must string, run func(url string) time.Duration, after func()) row {
	took := make([][]time.Duration, len(urls))
	for i := range b.n + 1 {
		for j := range urls {
			k := (i + j) % len(urls)
			t := run(urls[k])
			after()
			if i > 0 { // the first is to warm up
				took[k] = append(took[k], t)
			}
		}
	}
	medians := make([]time.Duration, len(urls))
	for k := range urls {
		medians[k] = median(append([]time.Duration(nil), took[k]...))
	}
	faster := 1
	if medians[2] < medians[1] {
		faster = 2
	}
	var ratios []float64
	for i := range took[0] {
		ratios = append(ratios, float64(took[0][i])/float64(took[faster][i]))
	}
	note := fmt.Sprintf("%s / %s / %s", ms(medians[0]), ms(medians[1]), ms(medians[2]))
	return row{what, median(ratios), must, note}
}
