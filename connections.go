package main

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

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

	// quick is the size from which on the sending of an archive counts, in bytes. Of
	// less the kernel takes care at once, however slow the client is.
	quick = 256 << 10

	freeBody   = 4 << 10  // bytes of each body that do not count while it comes
	mostComing = 32 << 20 // bytes, of all bodies together, that do
)

// connections bounds how many there are. When there is no room for one more, those go
// that have waited longest for a request to come, or for the rest of one: whoever is being
// answered stays, and whoever has something to ask gets in. Where nearly all are being
// answered, as when very many POSTs wait for their origins, the last ones are for who asks
// after the server's health; all others are told to come again.
type connections struct {
	most    int
	answers int64        // that may be given at once, the health's apart
	sending atomic.Int64 // archives, to clients that wait for them or may be slow
	mostOut int64
	coming  atomic.Int64 // bytes of bodies that are kept in memory until they are whole

	answering atomic.Int64  // connections whose request is being answered
	turns     atomic.Uint64 // how often one began to wait

	mu   sync.RWMutex // guards open; a request takes it at most for reading
	open map[net.Conn]*connection
}

// connection is what is known of one.
type connection struct {
	state  atomic.Int32  // waiting, answering or gone
	since  atomic.Uint64 // the turn in which it began to wait
	pushed atomic.Int64  // when its client was last given time to take in what is sent, in nanoseconds
}

const (
	connWaiting int32 = iota
	connAnswering
	connGone // closed to make room
)

func newConnections() *connections {
	most, sending := connectionBounds(descriptorLimit())
	return &connections{
		most: most, answers: int64(max(most-most/8, 1)), mostOut: sending, open: make(map[net.Conn]*connection),
	}
}

// descriptorLimit is how many descriptors the process may have.
func descriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 20
	}
	return uint64(limit.Cur)
}

// listBound is how many origins may be asked for their refs at once. Each takes several
// processes and descriptors.
func listBound(descriptors uint64) int { return int(max(min(mostLists, descriptors/32), 2)) }

// othersBound is how many connections there may be to each of so many other servers.
func othersBound(descriptors uint64, servers int) int {
	return int(max(min(mostToOthers, descriptors/8)/uint64(max(servers, 1)), 4))
}

// connectionBounds are the bounds for a process that may have so many descriptors.
func connectionBounds(descriptors uint64) (connections int, sending int64) {
	return int(max(min(mostConnections, descriptors/8*3), 1)), int64(max(min(mostSending, descriptors/8), 1))
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// context enters a connection that has just come.
func (cs *connections) context(ctx context.Context, c net.Conn) context.Context {
	one := &connection{}
	one.since.Store(cs.turns.Add(1))
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.open[c] = one
	return context.WithValue(ctx, connKey{}, one)
}

// changed is told of every change of a connection's state. A request has come only when
// its header is there: that, busy is told.
func (cs *connections) changed(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		cs.makeRoom()
	case http.StateIdle:
		cs.mu.RLock()
		one := cs.open[c]
		cs.mu.RUnlock()
		if one != nil {
			one.since.Store(cs.turns.Add(1))
			cs.rest(one)
		}
	case http.StateClosed, http.StateHijacked:
		cs.mu.Lock()
		one := cs.open[c]
		delete(cs.open, c)
		cs.mu.Unlock()
		if one != nil {
			cs.rest(one)
		}
	}
}

// rest notes that a connection's request has been answered.
func (cs *connections) rest(one *connection) {
	if one.state.CompareAndSwap(connAnswering, connWaiting) {
		cs.answering.Add(-1)
	}
}

// makeRoom closes connections if there are too many: the one that has waited longest or,
// so that it need not be looked for each time, a few more.
func (cs *connections) makeRoom() {
	cs.mu.Lock()
	if len(cs.open) <= cs.most {
		cs.mu.Unlock()
		return
	}
	conns := make([]net.Conn, 0, len(cs.open))
	for c, one := range cs.open {
		if one.state.Load() == connWaiting {
			conns = append(conns, c)
		}
	}
	slices.SortFunc(conns, func(a, b net.Conn) int { return cmp.Compare(cs.open[a].since.Load(), cs.open[b].since.Load()) })
	var out []net.Conn
	for _, c := range conns[:min(len(conns), 1+cs.most/256)] {
		if cs.open[c].state.CompareAndSwap(connWaiting, connGone) {
			delete(cs.open, c)
			out = append(out, c)
		}
	}
	cs.mu.Unlock()
	for _, c := range out {
		if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS would say goodbye first
			c = wrapped.NetConn()
		}
		c.Close()
	}
}

// busy notes that the request of that context is being answered, or refuses it. One that
// is refused can be closed for a newcomer. Who asks after the health is not refused.
func (cs *connections) busy(ctx context.Context, health bool) error {
	one, ok := ctx.Value(connKey{}).(*connection)
	if !ok || one.state.Load() == connAnswering {
		return nil
	}
	if n := cs.answering.Add(1); n > cs.answers && !health || !one.state.CompareAndSwap(connWaiting, connAnswering) {
		cs.answering.Add(-1)
		return limiter.ErrBusy
	}
	return nil
}

// sentBody is a request's body while it comes. Its client waits until it is whole, like
// one whose header is not there yet; then the request is being answered.
type sentBody struct {
	io.ReadCloser
	answer func() error // notes that it is, or refuses it
	whole  bool
}

// arriving is a request whose body is about to come.
func (cs *connections) arriving(r *http.Request) (*http.Request, *sentBody) {
	ctx := r.Context()
	body := &sentBody{ReadCloser: r.Body, answer: func() error { return cs.busy(ctx, false) }}
	r = r.WithContext(ctx) // a copy: net/http looks at the body of its own
	r.Body = body
	return r, body
}

func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && !b.whole {
		if busy := b.answer(); busy != nil {
			return n, busy
		}
		b.whole = true
	}
	return n, err
}

// comingBody counts what is kept in memory of a body that has not come yet as a whole.
// There are so many connections that all together it may be only so much.
type comingBody struct {
	io.Reader
	all        *atomic.Int64 // bytes of all such bodies that count
	read, held int64
}

func (b *comingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += int64(n)
	if more := b.read - freeBody - b.held; more > 0 {
		b.held += more
		if b.all.Add(more) > mostComing && err == nil {
			err = limiter.ErrBusy
		}
	}
	return n, err
}

// come says that it need not be counted any longer.
func (b *comingBody) come() { b.all.Add(-b.held) }

// unanswered notes that the request of that context is not being answered any more.
func (cs *connections) unanswered(ctx context.Context) {
	if one, ok := ctx.Value(connKey{}).(*connection); ok {
		cs.rest(one)
	}
}

// takesIn gives a client time to take in what is still to be sent to it. A connection that
// is used all the time is not given it each time.
func takesIn(ctx context.Context, w http.ResponseWriter) {
	now := time.Now()
	if one, ok := ctx.Value(connKey{}).(*connection); ok {
		if justNow(one.pushed.Load(), now, writeTimeout/2) {
			return
		}
		one.pushed.Store(now.UnixNano())
	}
	_ = http.NewResponseController(w).SetWriteDeadline(now.Add(writeTimeout))
}

// send asks whether one more archive can be sent. If so, sent must be called when that
// is over.
func (cs *connections) send(w http.ResponseWriter) error {
	if cs.sending.Add(1) > cs.mostOut {
		cs.sending.Add(-1)
		w.Header().Set("Retry-After", "1")
		return fail(kindUnavailable, "too many archives are being sent already")
	}
	return nil
}

func (cs *connections) sent() { cs.sending.Add(-1) }
