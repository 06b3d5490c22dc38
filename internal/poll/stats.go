package poll

import (
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// The indexes of Poller.results.
const (
	lookChanged = iota
	lookUnchanged
	lookFailed
)

func resultOf(err error, result mirror.Result) int {
	switch {
	case err != nil:
		return lookFailed
	case result.Changed > 0:
		return lookChanged
	default:
		return lookUnchanged
	}
}

// Stats is what a poller has counted since it was made, and what it has before it at a moment.
type Stats struct {
	Changed, Unchanged, Failed uint64        // looks that have brought something, have not, and have failed
	Unannounced                uint64        // changes found of mirrors with a hook, which it had not announced
	Mirrors                    int           // that are looked at
	DownHosts                  int           // hosts of origins that do not answer
	Late                       time.Duration // how long the look waits that is overdue the longest
}

// Stats returns what was counted up to now.
func (p *Poller) Stats() Stats {
	s := Stats{
		Changed: p.results[lookChanged].Load(), Unchanged: p.results[lookUnchanged].Load(),
		Failed: p.results[lookFailed].Load(), Unannounced: p.unannounced.Load(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Mirrors, s.DownHosts, s.Late = len(p.plan.entries), p.plan.down(), p.plan.late(time.Now())
	return s
}

// Next is when a mirror is looked at next, as far as that is known, and about how often it is looked
// at now. Both are zero if it is not looked at. The time is in the past if the look is due, or is being
// done.
func (p *Poller) Next(name storage.Name) (at time.Time, period time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.plan.entries[name]
	if e == nil {
		return at, 0
	}
	at = e.due
	if until := p.plan.blocked(e.host); until.After(at) {
		at = until
	}
	return at, e.period(time.Now())
}
