package limiter

import "sync/atomic"

// Slots bounds how much goes on at once where nobody waits: who comes when all is taken is refused.
// The zero value is ready for use. It is safe for concurrent use.
type Slots struct{ taken atomic.Int64 }

// Take takes one of so many slots. It reports whether one was free, which the caller must Release then.
func (s *Slots) Take(most int) bool {
	if s.taken.Add(1) > int64(most) {
		s.taken.Add(-1)
		return false
	}
	return true
}

// Release gives back a slot.
func (s *Slots) Release() { s.taken.Add(-1) }

// Taken returns how many slots are taken.
func (s *Slots) Taken() int { return int(s.taken.Load()) }
