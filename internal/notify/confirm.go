package notify

import (
	"slices"
	"time"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/mirror"
)

// news is what a mirror has, and that all servers have it.
type news struct {
	name    string
	snap    *mirror.Snapshot
	servers []string // the addresses of the others
}

// unsure is a mirror that has changed, of which it is not known yet whether all servers have it so.
type unsure struct {
	m       *mirror.Mirror
	states  []*mirror.Snapshot // what it has become, the latest last
	isNew   bool               // there was none before
	before  *mirror.Snapshot   // what it was before; nil if it is new, or if that is not known
	waits   backoff.Backoff    // until the other servers are asked
	settled uint64             // how often a propagation of it has ended
}

// maxStates is how many states of a mirror are remembered that not all servers are known to have. While
// it is changed all the time, no two servers may ever have the same; but all of them have one of these,
// or a later one.
const maxStates = 8

// become records what a mirror has become.
func (u *unsure) become(s *mirror.Snapshot) {
	if u.states = append(u.states, s); len(u.states) > maxStates {
		u.states = slices.Delete(u.states, 0, 1)
	}
}

// settle forgets the states up to s, and reports whether none is left.
func (u *unsure) settle(s *mirror.Snapshot) (done bool) {
	if i := slices.Index(u.states, s); i >= 0 {
		u.states = slices.Delete(u.states, 0, i+1)
	}
	return len(u.states) == 0
}

// confirmed returns the latest state that all copies have had, or nil if there is none. A copy that has a
// state which is none of them may have an older one.
func confirmed(states []*mirror.Snapshot, copies []cluster.Copy) *mirror.Snapshot {
	latest := len(states) - 1
	for _, c := range copies {
		has := -1
		for i, s := range states {
			if c.Has(s) {
				has = i
			}
		}
		latest = min(latest, has)
	}
	if latest < 0 {
		return nil
	}
	return states[latest]
}

// Pauses before other servers are asked whether they have a change.
const (
	firstPause = 2 * time.Second // after a change that no propagation has told them of; doubles with each time that they do not have it
	maxAsking  = 4               // mirrors of which they are asked at the same time
	maxRound   = 64              // mirrors of which they are asked before it is looked for what has changed meanwhile
)
