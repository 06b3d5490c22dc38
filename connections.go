package main

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
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
)

// connections bounds how many there are. When there is no room for one more, the one
// goes that has waited longest for a request to come, or for the rest of one: whoever
// is being answered stays, and whoever has something to ask gets in. Where nearly all
// are being answered, as when very many POSTs wait for their origins, the last ones are
// for who asks after the server's health; all others are told to come again.
type connections struct {
	most    int
	answers int          // that may be given at once, the health's apart
	sending atomic.Int64 // archives, to clients that wait for them or may be slow
	mostOut int64

	mu      sync.Mutex                 // guards all below
	waiting *list.List                 // of net.Conn, the longest waiting first
	open    map[net.Conn]*list.Element // its place in waiting; nil while it is answered
}

func newConnections() *connections {
	most, sending := connectionBounds(descriptorLimit())
	return &connections{
		most: most, answers: max(most-most/8, 1), mostOut: sending, waiting: list.New(), open: make(map[net.Conn]*list.Element),
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

func (cs *connections) context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// changed is told of every change of a connection's state. A request has come only when
// its header is there: that, busy is told.
func (cs *connections) changed(c net.Conn, state http.ConnState) {
	cs.mu.Lock()
	var out net.Conn
	switch state {
	case http.StateNew:
		cs.open[c] = cs.waiting.PushBack(c)
		if len(cs.open) > cs.most {
			out = cs.waiting.Front().Value.(net.Conn)
			cs.forget(out)
		}
	case http.StateIdle:
		if at, known := cs.open[c]; known && at == nil {
			cs.open[c] = cs.waiting.PushBack(c)
		}
	case http.StateClosed, http.StateHijacked:
		cs.forget(c)
	}
	cs.mu.Unlock()
	if wrapped, ok := out.(interface{ NetConn() net.Conn }); ok { // TLS would say goodbye first
		out = wrapped.NetConn()
	}
	if out != nil {
		out.Close()
	}
}

// forget takes a connection out; cs.mu is held.
func (cs *connections) forget(c net.Conn) {
	if at := cs.open[c]; at != nil {
		cs.waiting.Remove(at)
	}
	delete(cs.open, c)
}

// busy notes that the request of that context is being answered, or refuses it. One that
// is refused can be closed for a newcomer. Who asks after the health is not refused.
func (cs *connections) busy(ctx context.Context, health bool) error {
	c, ok := ctx.Value(connKey{}).(net.Conn)
	if !ok {
		return nil
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	at := cs.open[c]
	if at == nil {
		return nil
	}
	if !health && len(cs.open)-cs.waiting.Len() >= cs.answers {
		return errBusy
	}
	cs.waiting.Remove(at)
	cs.open[c] = nil
	return nil
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
