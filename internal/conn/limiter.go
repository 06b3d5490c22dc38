// Package conn bounds the cost of clients: how many connections they may have, how slowly they may
// send a body and read an answer, and how much of their bodies may be in memory. It also moves a
// server from one address to another without dropping a connection.
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

// Bounds of connections. Each connection takes a descriptor, each archive that is sent from its file
// takes another one, and git needs some as well. If the process may have only few descriptors
// (ulimit -n), each bound is a share of them instead.
const (
	mostConnections = 16 << 10 // or three eighths of the descriptors
	mostSending     = 2 << 10  // or one eighth of the descriptors
	mostLists       = 128      // or a thirty-second part of the descriptors
	mostToOthers    = 256      // to all other servers together, or one eighth of the descriptors

	// Quick is the size in bytes from which on the sending of an archive is bounded. The kernel
	// takes a smaller archive at once, however slow the client is.
	Quick = 256 << 10

	freeBody   = 4 << 10  // bytes of each body that do not count while it arrives
	mostComing = 32 << 20 // bytes that count, of all bodies together
)

// Limiter bounds the number of connections. When there is one too many, it closes those that have
// waited longest for a request, or for the rest of one. It never closes a connection whose request
// is being answered, and new clients always get in. When requests are being answered on nearly all
// connections, for example because very many POSTs wait for their origins, it refuses further
// requests, and reserves the other connections for health checks.
type Limiter struct {
	maxOpen      int
	maxAnswering int64        // requests that may be answered at the same time, except health checks
	sending      atomic.Int64 // archives that are being sent
	maxSending   int64
	Bodies       Budget // of incomplete bodies in memory

	answering atomic.Int64  // connections whose request is being answered
	waits     atomic.Uint64 // how often a connection has begun to wait

	mu   sync.RWMutex // guards open; requests lock it only for reading
	open map[net.Conn]*state
}

// state is the limiter's state of a connection.
type state struct {
	state    atomic.Int32  // waiting, answering or gone
	since    atomic.Uint64 // the value of Limiter.waits when it began to wait
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

// ConnContext registers a new connection. It is for http.Server.
func (l *Limiter) ConnContext(ctx context.Context, c net.Conn) context.Context {
	one := &state{}
	one.since.Store(l.waits.Add(1))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = one
	return context.WithValue(ctx, connKey{}, one)
}

// ConnState follows the states of connections. It is for http.Server. It ignores StateActive, which
// net/http sets at a request's first byte: Answer records that a request is being answered.
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

// makeRoom closes the connection that has waited longest, if there are too many, and a few more, so
// that it need not sort all of them each time.
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
		if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok { // Close of TLS would send to the client first
			c = wrapped.NetConn()
		}
		c.Close()
	}
}

// Answer records that the request of ctx is being answered, or returns limiter.ErrBusy. The
// connection of a refused request may be closed for a new one. A health check is never refused
// because of the number of other requests.
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

// AwaitRequests returns when each open connection has sent a request, or when ctx is done. net/http
// drops a request that it reads when it is shutting down, also if its connection was accepted before.
func (l *Limiter) AwaitRequests(ctx context.Context) {
	tick := time.NewTicker(requestPause)
	defer tick.Stop()
	for l.isAwaitingRequest() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// requestPause is how often AwaitRequests looks; no state of net/http tells that a request is in the
// hands of its handler.
const requestPause = 2 * time.Millisecond

func (l *Limiter) isAwaitingRequest() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, one := range l.open {
		if one.state.Load() == connWaiting {
			return true
		}
	}
	return false
}

// GiveUp records that the request of ctx is not being answered any more.
func (l *Limiter) GiveUp(ctx context.Context) {
	if one, ok := ctx.Value(connKey{}).(*state); ok {
		l.finish(one)
	}
}

// ExtendWrite gives a client writeTimeout to read the rest of an answer. On a busy connection it does
// not set the deadline each time, but often enough.
func ExtendWrite(ctx context.Context, w http.ResponseWriter) {
	now := time.Now()
	if one, ok := ctx.Value(connKey{}).(*state); ok {
		passed := now.Sub(time.Unix(0, one.extended.Load()))
		if 0 <= passed && passed < writeTimeout/2 { // negative if the clock was set back
			return
		}
		one.extended.Store(now.UnixNano())
	}
	_ = http.NewResponseController(w).SetWriteDeadline(now.Add(writeTimeout))
}

// ErrSending is the error of AcquireSend when too much is being sent.
var ErrSending = errors.New("too many archives and packs are being sent already")

// Stats is how many connections there are at a moment, and how many there may be.
type Stats struct {
	Open, MaxOpen           int64
	Answering, MaxAnswering int64 // connections whose request is being answered
	Sending, MaxSending     int64 // archives and packs
}

// Stats returns the numbers of now.
func (l *Limiter) Stats() Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return Stats{
		int64(len(l.open)), int64(l.maxOpen), l.answering.Load(), l.maxAnswering, l.sending.Load(), l.maxSending,
	}
}

// AcquireSend allows the sending of one archive or pack, or returns ErrSending. After the sending,
// ReleaseSend must be called.
func (l *Limiter) AcquireSend() error {
	if l.sending.Add(1) > l.maxSending {
		l.sending.Add(-1)
		return ErrSending
	}
	return nil
}

// ReleaseSend ends what AcquireSend has allowed.
func (l *Limiter) ReleaseSend() { l.sending.Add(-1) }
