// Package pack makes what git clients are answered who clone or fetch: at the machine's speed,
// through a spool, from which each client reads at its own. So a place among those that are at
// work is held for as long as git takes, and not for as long as a client does.
package pack

import (
	"context"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/spool"
)

// Maker makes packs. Its methods are safe for concurrent use.
type Maker struct {
	clients, peers line
	serial         atomic.Uint64
}

// line is where those wait whose packs are to be made.
type line struct {
	places limiter.Limiter
	lane   *spool.Lane
}

// NewMaker returns a maker of packs in a cache. There is no place before Resize.
func NewMaker(cache *spool.Cache) *Maker {
	k := &Maker{}
	k.clients.lane = cache.NewLane(k.clients.places.Waited)
	k.peers.lane = cache.NewLane(k.peers.places.Waited)
	return k
}

// Resize sets how many packs are made at once. Other servers of the cluster have places of
// their own, half as many: however many clients there are, a server that lost its origin gets
// what it needs from its peers.
func (k *Maker) Resize(places int) {
	k.clients.places.Resize(places)
	k.peers.places.Resize(max(places/2, 1))
}

// line returns where a client waits, or another server.
func (k *Maker) line(peer bool) *line {
	if peer {
		return &k.peers
	}
	return &k.clients
}

// Acquire waits for a place for other work that git does for a client, or for another server.
// The error is limiter.ErrBusy, or the cause of ctx's end; without one the caller must call
// release.
func (k *Maker) Acquire(ctx context.Context, m *mirror.Mirror, peer bool) (release func(), err error) {
	places := &k.line(peer).places
	if err := places.Acquire(ctx, m.Name.String()); err != nil {
		return nil, err
	}
	return places.Release, nil
}

// Get has git answer a request, in that version of its protocol, of a client or of another
// server. The reader follows what git says, as it says it; it must be closed. Its error is
// limiter.ErrBusy if there was no place, spool.ErrTooSlow if it had to make room for others,
// or that of git. The request belongs to the maker from now on.
func (k *Maker) Get(m *mirror.Mirror, version int, request *smarthttp.Request, peer bool) (*spool.Reader, error) {
	line := k.line(peer)
	// Each request has an answer of its own.
	key := strings.Join([]string{"pack", m.Name.String(), m.Identity(), strconv.FormatUint(k.serial.Add(1), 10)}, "\x00")
	r, err := line.lane.Get(key, func(ctx context.Context, w io.Writer) error {
		defer request.Close()
		if err := line.places.Acquire(ctx, m.Name.String()); err != nil {
			return err
		}
		defer line.places.Release()
		return m.UploadPack(ctx, version, request.Reader(), w)
	})
	if err != nil {
		request.Close()
	}
	return r, err
}
