package notify

import (
	"slices"
	"time"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// news is what a mirror has, or that it was removed, and that it is so on all servers.
type news struct {
	name    string
	snap    *mirror.Snapshot // nil if it was removed
	removed time.Time        // when that was asked for
	servers []string         // the addresses of the others
}

// unsure is a mirror that has changed or was removed, of which it is not known yet whether it is so on all servers.
type unsure struct {
	name    storage.Name
	states  []*mirror.Snapshot // what it has become, the latest last; none if it was removed
	removed time.Time          // when that was asked for; zero if it is there
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
	u.removed = time.Time{} // what it has become says so
	if u.states = append(u.states, s); len(u.states) > maxStates {
		u.states = slices.Delete(u.states, 0, 1)
	}
}

// remove records that the mirror was removed.
func (u *unsure) remove(at time.Time) { u.states, u.removed = nil, at }

// isLike reports whether nothing has happened to the mirror between two moments.
func (u *unsure) isLike(other unsure) bool {
	return slices.Equal(u.states, other.states) && u.removed.Equal(other.removed)
}

// settle forgets what was told, and reports whether nothing is left. What was told are the states up to one, or that
// the mirror was removed.
func (u *unsure) settle(told news) (done bool) {
	if told.snap == nil {
		return u.removed.Equal(told.removed)
	}
	if i := slices.Index(u.states, told.snap); i >= 0 {
		u.states = slices.Delete(u.states, 0, i+1)
	}
	return len(u.states) == 0 && u.removed.IsZero()
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
