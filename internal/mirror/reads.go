package mirror

import (
	"sync/atomic"
	"time"
)

// reads is what is known of those who read a mirror. A mirror that nobody uses may be retired.
type reads struct {
	latest  atomic.Int64 // when somebody asked for it, since started; 0 for never
	using   atomic.Int32 // those for whom git may be reading it
	retired atomic.Bool  // it is being retired, or was
}

// started is the beginning of the monotonic time that reads counts.
var started = time.Now()

// readPace is how exactly the latest read is known. With many readers a second, most of them write
// nothing that the others would have to read again.
const readPace = time.Second

// MarkRead records that somebody reads the mirror, who came at that time. ok is false if the mirror is
// just being retired: then it is gone, or will be in a moment.
func (m *Mirror) MarkRead(came time.Time) (ok bool) {
	// Retire first says that the mirror is retired, and looks for readers then; this is the other way
	// round, so that one of the two notices.
	at, latest := max(int64(came.Sub(started)), 1), m.reads.latest.Load()
	if latest == 0 || at-latest >= int64(readPace) {
		m.reads.latest.Store(at)
	}
	return !m.reads.retired.Load()
}

// LastRead returns when somebody last asked for the mirror, exact to a second and with a monotonic
// reading; zero if nobody has since the mirror became known to this process.
func (m *Mirror) LastRead() time.Time {
	at := m.reads.latest.Load()
	if at == 0 {
		return time.Time{}
	}
	return started.Add(time.Duration(at))
}

// BeginUse says that git may be reading the mirror for somebody, until EndUse is called.
func (m *Mirror) BeginUse() { m.reads.using.Add(1) }

// EndUse ends what BeginUse has begun.
func (m *Mirror) EndUse() { m.reads.using.Add(-1) }

// isQuiet reports whether nobody uses the mirror, or has asked for it within that time.
func (m *Mirror) isQuiet(within time.Duration) bool {
	last := m.LastRead()
	return m.reads.using.Load() == 0 && (last.IsZero() || time.Since(last) >= within)
}
