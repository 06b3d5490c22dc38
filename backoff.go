package main

import "time"

// backoff tells how long to leave an origin alone that has just failed. Its zero
// value leaves it alone for no time.
type backoff struct {
	wait  time.Duration
	until time.Time
}

// maxRetries is by how much the wait can grow.
const maxRetries = 12

// failed notes a failure at now: the first is followed by a wait of base, each
// further one by twice the wait before, up to maxRetries times base.
func (b *backoff) failed(now time.Time, base time.Duration) {
	b.wait = min(max(2*b.wait, base), maxRetries*base)
	b.until = now.Add(b.wait)
}

// reset forgets all failures.
func (b *backoff) reset() { *b = backoff{} }

// ready reports whether the wait is over.
func (b *backoff) ready(now time.Time) bool { return !now.Before(b.until) }
