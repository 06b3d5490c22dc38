// Package tally counts bytes that are written, and how long things take, in buckets, so that a reader
// can tell the usual from the slowest. To add a duration takes two atomic additions: no lock, no allocation.
package tally

import (
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of the buckets, which include them. What takes longer than the last
// one is in no bucket, and counts all the same.
var Bounds = [...]time.Duration{
	5 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 5 * time.Minute, 15 * time.Minute,
}

// Durations counts durations. The zero value is empty and ready for use. Its methods are safe for
// concurrent use.
type Durations struct {
	buckets [len(Bounds) + 1]atomic.Uint64 // not cumulative; the last one has what exceeds all bounds
	sum     atomic.Int64                   // nanoseconds
}

// Add counts a duration.
func (d *Durations) Add(took time.Duration) {
	i := 0
	for i < len(Bounds) && took > Bounds[i] {
		i++
	}
	d.sum.Add(int64(took))
	d.buckets[i].Add(1)
}

// Counts is what was counted up to a moment.
type Counts struct {
	Within [len(Bounds)]uint64 // how many took no longer than each of Bounds
	Count  uint64              // how many there were
	Sum    time.Duration       // of all
}

// Counts returns what was counted up to now.
func (d *Durations) Counts() (c Counts) {
	for i := range Bounds {
		c.Count += d.buckets[i].Load()
		c.Within[i] = c.Count
	}
	c.Count += d.buckets[len(Bounds)].Load()
	c.Sum = time.Duration(d.sum.Load())
	return c
}
