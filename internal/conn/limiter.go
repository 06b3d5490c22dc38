// Package conn bounds what clients can take of a server by the way they talk: how many
// connections there are, how slowly they may send a body and take in an answer, how much of
// their bodies is in memory. It also moves a server from one address to another without
// dropping a connection.
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

// Bounds of connections. Each takes a descriptor, and so does each archive that is sent
// from its file; git and the rest must find some as well. So where the process may not
// have many (ulimit -n), there are fewer of them: a share of what there is.
const (
	mostConnections = 16 << 10 // at most; else three eighths of the descriptors
	mostSending     = 2 << 10  // at most; else one eighth of the descriptors
	mostLists       = 128      // at most; else a thirty-second part of the descriptors
	mostToOthers    = 256      // at most, to all other servers together; else one eighth

	// Quick is the size from which on the sending of an archive counts, in bytes. Of
	// less the kernel takes care at once, however slow the client is.
	Quick = 256 << 10

	freeBody   = 4 << 10  // bytes of each body that do not count while it comes
	mostComing = 32 << 20 // bytes, of all bodies together, that do
)

// Limiter bounds how many there are. When there is no room for one more, those go
// that have waited longest for a request to come, or for the rest of one: whoever is being
// answered stays, and whoever has something to ask gets in. Where nearly all are being
// answered, as when very many POSTs wait for their origins, the last ones are for who asks
// after the server's health; all others are told to come again.
type Limiter struct {
	most    int
	answers int64        // that may be given at once, the health's apart
	sending atomic.Int64 // archives, to clients that wait for them or may be slow
	mostOut int64
	Bodies  Budget // of those that are kept in memory until they are whole

	answering atomic.Int64  // connections whose request is being answered
	turns     atomic.Uint64 // how often one began to wait

	mu   sync.RWMutex // guards open; a request takes it at most for reading
	open map[net.Conn]*state
}

// state is what is known of one.
type state struct {
	state  atomic.Int32  // waiting, answering or gone
	since  atomic.Uint64 // the turn in which it began to wait
	pushed atomic.Int64  // when its client was last given time to take in what is sent, in nanoseconds
}

const (
	connWaiting int32 = iota
	connAnswering
	connGone // closed to make room
)

// NewLimiter returns the bounds for a process that may have so many descriptors.
func NewLimiter(descriptors uint64) *Limiter {
	most, sending := connectionBounds(descriptors)
	return &Limiter{
		most: most, answers: int64(max(most-most/8, 1)), mostOut: sending, open: make(map[net.Conn]*state),
	}
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// ConnContext enters a connection that has just come.
func (l *Limiter) ConnContext(ctx context.Context, c net.Conn) context.Context {
	one := &state{}
	one.since.Store(l.turns.Add(1))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = one
	return context.WithValue(ctx, connKey{}, one)
}

// ConnState is told of every change of a connection's state. A request has come only when
// its header is there: that, busy is told.
func (l *Limiter) ConnState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		l.makeRoom()
	case http.StateIdle:
		l.mu.RLock()
		one := l.open[c]
		l.mu.RUnlock()
		if one != nil {
			one.since.Store(l.turns.Add(1))
			l.rest(one)
		}
	case http.StateClosed, http.StateHijacked:
		l.mu.Lock()
		one := l.open[c]
		delete(l.open, c)
		l.mu.Unlock()
		if one != nil {
			l.rest(one)
		}
	}
}

// rest notes that a connection's request has been answered.
func (l *Limiter) rest(one *state) {
	if one.state.CompareAndSwap(connAnswering, connWaiting) {
		l.answering.Add(-1)
	}
}

// makeRoom closes connections if there are too many: the one that has waited longest or,
// so that it need not be looked for each time, a few more.
func (l *Limiter) makeRoom() {
	l.mu.Lock()
	if len(l.open) <= l.most {
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
	var out []net.Conn
	for _, c := range conns[:min(len(conns), 1+l.most/256)] {
		if l.open[c].state.CompareAndSwap(connWaiting, connGone) {
			delete(l.open, c)
			out = append(out, c)
		}
	}
	l.mu.Unlock()
	for _, c := range out {
		if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS would say goodbye first
			c = wrapped.NetConn()
		}
		c.Close()
	}
}

// Answer notes that the request of that context is being answered, or refuses it. One that
// is refused can be closed for a newcomer. Who asks after the health is not refused.
func (l *Limiter) Answer(ctx context.Context, health bool) error {
	one, ok := ctx.Value(connKey{}).(*state)
	if !ok || one.state.Load() == connAnswering {
		return nil
	}
	if n := l.answering.Add(1); n > l.answers && !health || !one.state.CompareAndSwap(connWaiting, connAnswering) {
		l.answering.Add(-1)
		return limiter.ErrBusy
	}
	return nil
}

// GiveUp notes that the request of that context is not being answered any more.
func (l *Limiter) GiveUp(ctx context.Context) {
	if one, ok := ctx.Value(connKey{}).(*state); ok {
		l.rest(one)
	}
}

// ExtendWrite gives a client time to take in what is still to be sent to it. A connection that
// is used all the time is not given it each time.
func ExtendWrite(ctx context.Context, w http.ResponseWriter) {
	now := time.Now()
	if one, ok := ctx.Value(connKey{}).(*state); ok {
		passed := now.Sub(time.Unix(0, one.pushed.Load()))
		if 0 <= passed && passed < WriteTimeout/2 { // one that is still to come is none: the clock was set back
			return
		}
		one.pushed.Store(now.UnixNano())
	}
	_ = http.NewResponseController(w).SetWriteDeadline(now.Add(WriteTimeout))
}

// ErrSending is returned to those for whom too much is being sent.
var ErrSending = errors.New("too many archives and packs are being sent already")

// AcquireSend asks whether one more archive or pack can be sent. If so, sent must be called when that
// is over.
func (l *Limiter) AcquireSend() error {
	if l.sending.Add(1) > l.mostOut {
		l.sending.Add(-1)
		return ErrSending
	}
	return nil
}

func (l *Limiter) ReleaseSend() { l.sending.Add(-1) }
