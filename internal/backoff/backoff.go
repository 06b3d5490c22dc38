// Package backoff computes the pause after failures, which doubles with each failure.
package backoff

import "time"

// Backoff is the pause after consecutive failures. The zero value has no failures. It is not
// safe for concurrent use.
type Backoff struct {
	Wait  time.Duration // the pause after the latest failure; zero for none
	Until time.Time     // the end of the pause
}

// maxRetries is the longest pause, as a multiple of the first.
const maxRetries = 12

// Fail records a failure at now. The first pause is base; each further failure doubles the
// pause, up to maxRetries times base.
func (b *Backoff) Fail(now time.Time, base time.Duration) {
	b.Wait = min(max(2*b.Wait, base), maxRetries*base)
	b.Until = now.Add(b.Wait)
}

// Reset forgets all failures.
func (b *Backoff) Reset() { *b = Backoff{} }

// Ready reports whether the pause is over.
func (b *Backoff) Ready(now time.Time) bool { return !now.Before(b.Until) }
