// Package pack makes the answers to git clients that clone or fetch. git writes each answer into a
// spool at the machine's speed, and the client reads it from there at its own speed. So a request
// holds a place for as long as git works, and not for as long as the client reads.
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
	clients, peers queue
	lastID         atomic.Uint64 // of an answer
}

// queue is where requests wait for a place, and where their answers are spooled.
type queue struct {
	places limiter.Limiter
	lane   *spool.Lane
}

// NewMaker returns a maker that spools packs in a cache. It has no places before Resize.
func NewMaker(cache *spool.Cache) *Maker {
	k := &Maker{}
	k.clients.lane = cache.NewLane(k.clients.places.Waited)
	k.peers.lane = cache.NewLane(k.peers.places.Waited)
	return k
}

// Resize sets how many packs for clients are made at the same time. Other servers of the cluster have
// places of their own, half as many: so a server that has lost its origin can fetch from its peers,
// however many clients they have.
func (k *Maker) Resize(places int) {
	k.clients.places.Resize(places)
	k.peers.places.Resize(max(places/2, 1))
}

// queue returns the queue of the other servers if peer is set, else that of the clients.
func (k *Maker) queue(peer bool) *queue {
	if peer {
		return &k.peers
	}
	return &k.clients
}

// Acquire waits for a place for other work of git for a client or, if peer is set, for another
// server. The caller must call release. The error is limiter.ErrBusy, or the cause of ctx's end.
func (k *Maker) Acquire(ctx context.Context, m *mirror.Mirror, peer bool) (release func(), err error) {
	places := &k.queue(peer).places
	if err := places.Acquire(ctx, m.Name.String()); err != nil {
		return nil, err
	}
	return places.Release, nil
}

// Get makes git answer a request of a client or, if peer is set, of another server, in a version of
// the protocol. The reader follows the answer while git writes it; the caller must close the
// reader. The reader's error is limiter.ErrBusy if there was no place, spool.ErrTooSlow if the
// client was too slow while others waited, or that of git. Get takes over the request, and closes
// it.
func (k *Maker) Get(m *mirror.Mirror, version int, request *smarthttp.Request, peer bool) (*spool.Reader, error) {
	q := k.queue(peer)
	// Each request has an answer of its own, so each key is new.
	key := strings.Join([]string{"pack", m.Name.String(), m.Identity(), strconv.FormatUint(k.lastID.Add(1), 10)}, "\x00")
	r, err := q.lane.Get(key, func(ctx context.Context, w io.Writer) error {
		defer request.Close()
		if err := q.places.Acquire(ctx, m.Name.String()); err != nil {
			return err
		}
		defer q.places.Release()
		return m.UploadPack(ctx, version, request.Reader(), w)
	})
	if err != nil {
		request.Close()
	}
	return r, err
}
