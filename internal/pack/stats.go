package pack

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/tally"
)

// counts is what a maker counts. The zero value is empty.
type counts struct {
	made, shared, ahead, failed, bytes atomic.Uint64
	passed                             atomic.Uint64
	making                             tally.Durations
}

// asked counts an answer that a client has asked for.
func (c *counts) asked(made bool) {
	if made {
		c.made.Add(1)
	} else {
		c.shared.Add(1)
	}
}

// Passed counts a pack of an origin that a client got as it came.
func (k *Maker) Passed() { k.counts.passed.Add(1) }

// measure counts what make makes, and how long it takes. A failure counts if neither the clients
// have gone, nor their request is to blame.
func (c *counts) measure(ctx context.Context, w io.Writer, make func(w io.Writer) error) error {
	began, counted := time.Now(), &tally.Writer{Writer: w}
	err := make(counted)
	c.bytes.Add(uint64(counted.N))
	switch {
	case err == nil:
		c.making.Add(time.Since(began))
	case ctx.Err() != nil, git.IsRequestError(err):
	default:
		c.failed.Add(1)
	}
	return err
}

// Stats is what a maker has counted since it was made, and how busy it is at a moment.
type Stats struct {
	Made           uint64        // answers that git has made for a client or another server
	Shared         uint64        // answers that had been made for another client, or ahead
	Passed         uint64        // packs of origins that clients got as they came
	Kept           uint64        // answers that were put into the cache
	Ahead          uint64        // answers made before somebody asked
	Failed         uint64        // answers and bundles that could not be made
	Bytes          uint64        // of all answers and bundles that were made
	Making         tally.Counts  // how long git took for them
	Clients, Peers limiter.Stats // the lines of clients and of other servers
}

// Stats returns what was counted up to now.
func (k *Maker) Stats() Stats {
	return Stats{
		Made: k.counts.made.Load(), Shared: k.counts.shared.Load(), Ahead: k.counts.ahead.Load(), Passed: k.counts.passed.Load(),
		Kept:   k.clients.lane.Kept() + k.peers.lane.Kept(),
		Failed: k.counts.failed.Load(), Bytes: k.counts.bytes.Load(), Making: k.counts.making.Counts(),
		Clients: k.clients.places.Stats(), Peers: k.peers.places.Stats(),
	}
}
