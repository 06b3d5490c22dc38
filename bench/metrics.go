package main

import (
	"fmt"
	"time"
)

// metricsOfMany is what it costs to scrape a server with many mirrors: with sums of them, and with
// each by name.
func metricsOfMany(b *bench) (rows []row) {
	storage, _ := b.storageOfMany()
	for _, c := range []struct{ what, line, must string }{
		{"scrape with 10,000 mirrors, sums of them (ms)", "metrics_mirrors = 1000", "≤ 20"},
		{"the same, each by name (ms)", "metrics_mirrors = 10000", "≤ 250"},
	} {
		d := b.startOn(storage, c.line)
		for d.loading() {
			time.Sleep(10 * time.Millisecond)
		}
		before := b.resident(d.pid)
		var size int64
		var times []time.Duration
		for range b.n + 2 {
			times = append(times, timed(func() { size = d.get("/x/metrics") }))
		}
		note := fmt.Sprintf("%.2f MB; %.0f MB resident before, %.0f MB after", float64(size)/1e6, before, b.resident(d.pid))
		rows = append(rows, row{c.what, milliseconds(median(times[2:])), c.must, note})
		d.finish()
	}
	return rows
}
