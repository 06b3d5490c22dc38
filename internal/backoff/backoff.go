// Package backoff tells how long to leave something alone that has just failed.
package backoff

import "time"

// Backoff is the pause after failures that follow each other. Its zero value is ready, as
// after Reset. It is not safe for concurrent use.
type Backoff struct {
	Wait  time.Duration // the pause after the latest failure; zero for none
	Until time.Time     // when it is over
}

// maxRetries is by how much a pause can grow.
const maxRetries = 12

// Fail notes a failure at now. The first is followed by a pause of base, each further one by
// twice the pause before it, up to maxRetries times base.
func (b *Backoff) Fail(now time.Time, base time.Duration) {
	b.Wait = min(max(2*b.Wait, base), maxRetries*base)
	b.Until = now.Add(b.Wait)
}

// Reset forgets all failures.
func (b *Backoff) Reset() { *b = Backoff{} }

// Ready reports whether the pause is over.
func (b *Backoff) Ready(now time.Time) bool { return !now.Before(b.Until) }
