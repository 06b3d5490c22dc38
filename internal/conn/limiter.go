// Package conn bounds what clients can cost a server: how many connections they may have, how
// slowly they may send a body and read an answer, and how much of their bodies may be in
// memory. It also moves a server from one address to another without dropping a connection.
package conn

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/limiter"
)

// Bounds of connections. Each connection takes a descriptor, and so does each archive that is
// sent from its file, and git needs some as well. If the process may have only few
// descriptors (ulimit -n), each bound is a share of them instead.
const (
	mostConnections = 16 << 10 // or three eighths of the descriptors
	mostSending     = 2 << 10  // or one eighth of the descriptors
	mostLists       = 128      // or a thirty-second part of the descriptors
	mostToOthers    = 256      // to all other servers together, or one eighth of the descriptors

	// Quick is the size in bytes from which on an archive counts while it is sent. The
	// kernel takes a smaller one at once, however slow the client is.
	Quick = 256 << 10

	freeBody   = 4 << 10  // bytes of each body that do not count while it arrives
	mostComing = 32 << 20 // bytes that count, of all bodies together
)

// Limiter bounds the number of connections. When there is one too many, it closes those that
// have waited longest for a request, or for the rest of one: it never closes a connection
// whose request is being answered, and new clients always get in. When nearly all
// connections have a request that is being answered, as when very many POSTs wait for their
// origins, it refuses further requests, and reserves what is left for health checks.
type Limiter struct {
	maxOpen      int
	maxAnswering int64        // requests being answered at once, health checks apart
	sending      atomic.Int64 // archives that are being sent
	maxSending   int64
	Bodies       Budget // of bodies that are kept in memory until they are complete

	answering atomic.Int64  // connections whose request is being answered
	waits     atomic.Uint64 // how often a connection has begun to wait

	mu   sync.RWMutex // guards open; a request only ever locks it for reading
	open map[net.Conn]*state
}

// state is what the limiter knows of a connection.
type state struct {
	state    atomic.Int32  // waiting, answering or gone
	since    atomic.Uint64 // the value of waits when it began to wait
	extended atomic.Int64  // when ExtendWrite last set its deadline, in nanoseconds since the epoch
}

const (
	connWaiting int32 = iota
	connAnswering
	connGone // closed to make room
)

// NewLimiter returns a limiter for a process that may have so many descriptors.
func NewLimiter(descriptors uint64) *Limiter {
	connections, sending := connectionBounds(descriptors)
	return &Limiter{
		maxOpen: connections, maxAnswering: int64(max(connections-connections/8, 1)), maxSending: sending,
		open: make(map[net.Conn]*state),
	}
}

// connKey is the key of a connection's state in the contexts of its requests.
type connKey struct{}

// ConnContext registers a new connection.
func (l *Limiter) ConnContext(ctx context.Context, c net.Conn) context.Context {
	one := &state{}
	one.since.Store(l.waits.Add(1))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = one
	return context.WithValue(ctx, connKey{}, one)
}

// ConnState follows the states of connections. It does not rely on
// StateActive, which net/http sets at a request's first byte: Answer records that a request is
// being answered.
func (l *Limiter) ConnState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		l.makeRoom()
	case http.StateIdle:
		l.mu.RLock()
		one := l.open[c]
		l.mu.RUnlock()
		if one != nil {
			one.since.Store(l.waits.Add(1))
			l.finish(one)
		}
	case http.StateClosed, http.StateHijacked:
		l.mu.Lock()
		one := l.open[c]
		delete(l.open, c)
		l.mu.Unlock()
		if one != nil {
			l.finish(one)
		}
	}
}

// finish records that a connection's request has been answered.
func (l *Limiter) finish(one *state) {
	if one.state.CompareAndSwap(connAnswering, connWaiting) {
		l.answering.Add(-1)
	}
}

// makeRoom closes connections if there are too many: the one that has waited longest, and a
// few more, so that it does not have to sort all of them each time.
func (l *Limiter) makeRoom() {
	l.mu.Lock()
	if len(l.open) <= l.maxOpen {
		l.mu.Unlock()
		return
	}
	conns := make([]net.Conn, 0, len(l.open))
	for c, one := range l.open {
		if one.state.Load() == connWaiting {
			conns = append(conns, c)
		}
	}
	slices.SortFunc(conns, func(a, b net.Conn) int { return cmp.Compare(l.open[a].since.Load(), l.open[b].since.Load()) })
	var closed []net.Conn
	for _, c := range conns[:min(len(conns), 1+l.maxOpen/256)] {
		if l.open[c].state.CompareAndSwap(connWaiting, connGone) {
			delete(l.open, c)
			closed = append(closed, c)
		}
	}
	l.mu.Unlock()
	for _, c := range closed {
		if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok { // closing TLS would send to the client first
			c = wrapped.NetConn()
		}
		c.Close()
	}
}

// Answer records that the request of that context is being answered, or returns
// limiter.ErrBusy. The connection of a refused request can be closed for a new one. A health
// check is never refused for the number of others.
func (l *Limiter) Answer(ctx context.Context, health bool) error {
	one, ok := ctx.Value(connKey{}).(*state)
	if !ok || one.state.Load() == connAnswering {
		return nil
	}
	if n := l.answering.Add(1); n > l.maxAnswering && !health || !one.state.CompareAndSwap(connWaiting, connAnswering) {
		l.answering.Add(-1)
		return limiter.ErrBusy
	}
	return nil
}

// GiveUp records that the request of that context is not being answered any more.
func (l *Limiter) GiveUp(ctx context.Context) {
	if one, ok := ctx.Value(connKey{}).(*state); ok {
		l.finish(one)
	}
}

// ExtendWrite gives a client time to read what is still to be sent to it. On a busy connection
// it sets the deadline not each time, but often enough.
func ExtendWrite(ctx context.Context, w http.ResponseWriter) {
	now := time.Now()
	if one, ok := ctx.Value(connKey{}).(*state); ok {
		passed := now.Sub(time.Unix(0, one.extended.Load()))
		if 0 <= passed && passed < WriteTimeout/2 { // it is below zero if the clock was set back
			return
		}
		one.extended.Store(now.UnixNano())
	}
	_ = http.NewResponseController(w).SetWriteDeadline(now.Add(WriteTimeout))
}

// ErrSending is returned when as much is being sent as may be.
var ErrSending = errors.New("too many archives and packs are being sent already")

// AcquireSend reserves the sending of one archive or pack, or returns ErrSending. ReleaseSend
// must be called when it has been sent.
func (l *Limiter) AcquireSend() error {
	if l.sending.Add(1) > l.maxSending {
		l.sending.Add(-1)
		return ErrSending
	}
	return nil
}

func (l *Limiter) ReleaseSend() { l.sending.Add(-1) }
