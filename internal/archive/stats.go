package archive

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/cpu"

	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/tally"
)

// counts is what a cache counts. The zero value is empty. Each GET changes it, so that it has cache
// lines of its own: what stands beside it is only read.
type counts struct {
	_                                  cpu.CacheLinePad
	hits, misses, failed, ahead, bytes atomic.Uint64
	making                             tally.Durations
	_                                  cpu.CacheLinePad
}

// asked counts an archive that a client has asked for, and which has to be made for it or not.
func (c *counts) asked(miss bool) {
	if miss {
		c.misses.Add(1)
	} else {
		c.hits.Add(1)
	}
}

// made counts an archive that was made, or could not be. One is not counted whose clients have
// gone, or for which there is no room: it is given up, or made again in another way.
func (c *counts) made(ctx context.Context, bytes int64, took time.Duration, err error) {
	c.bytes.Add(uint64(bytes))
	switch {
	case err == nil:
		c.making.Add(took)
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, spool.ErrNoSpace), errors.Is(err, spool.ErrTooSlow):
	default:
		c.failed.Add(1)
	}
}

// Stats is what a cache has counted since it was made, and how busy it is at a moment.
type Stats struct {
	Hits, Misses     uint64 // archives that clients asked for: there or being made already, and made for them
	Ahead            uint64 // made before somebody asked
	Failed           uint64 // could not be made
	Bytes            uint64 // of all that was made, as it is sent
	Making           tally.Counts
	Archives, Digest limiter.Stats // the lines of those that are made, and whose digests are computed
}

// Stats returns what was counted up to now.
func (c *Cache) Stats() Stats {
	return Stats{
		Hits: c.counts.hits.Load(), Misses: c.counts.misses.Load(), Ahead: c.counts.ahead.Load(),
		Failed: c.counts.failed.Load(), Bytes: c.counts.bytes.Load(), Making: c.counts.making.Counts(),
		Archives: c.places.Stats(), Digest: c.hashing.Stats(),
	}
}
