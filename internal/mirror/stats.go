package mirror

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/tally"
)

// counts is what a store counts. The zero value is empty.
type counts struct {
	changed, unchanged, failed tally.Durations // of pulls
	damaged, rebuilt           atomic.Uint64
}

// record counts a pull that has ended, unless the shutdown has ended it.
func (c *counts) record(result Result, err error, took time.Duration) {
	switch {
	case errors.Is(err, ErrClosing):
	case err != nil:
		c.failed.Add(took)
	case result.Changed > 0:
		c.changed.Add(took)
	default:
		c.unchanged.Add(took)
	}
}

// Stats is what a store has counted since it was made, and how busy it is at a moment. The time of
// a pull includes that for which it waited for its lock and for places.
type Stats struct {
	Changed, Unchanged, Failed tally.Counts  // pulls that have changed refs, found nothing new, and failed
	Damaged                    uint64        // how often damage of a mirror was found
	Rebuilt                    uint64        // damaged mirrors that were rebuilt
	PausedHosts                int           // hosts of origins that have asked to be left alone
	Transfers, Lists, Queries  limiter.Stats // of objects, of a source's refs, about commits
}

// Stats returns what was counted up to now.
func (s *Store) Stats() Stats {
	c := &s.counts
	return Stats{
		Changed: c.changed.Counts(), Unchanged: c.unchanged.Counts(), Failed: c.failed.Counts(),
		Damaged: c.damaged.Load(), Rebuilt: c.rebuilt.Load(),
		PausedHosts: s.pauses.count(time.Now()),
		Transfers:   s.fetches.Stats(), Lists: s.lists.Stats(), Queries: s.queries.Stats(),
	}
}
