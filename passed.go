package main

import (
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/protocol"
)

// passed are the requests that have lately come to this server, by their ids: of servers that
// pass everything on to each other, each works on a request once. Without that, six masters
// would make hundreds of one POST.
type passed[T any] struct {
	mu    sync.Mutex // guards all below
	by    map[string]passedOne[T]
	queue []string // the ids, in the order in which they came
}

type passedOne[T any] struct {
	came  time.Time
	value T
}

// Bounds of what is remembered: copies of a request come within moments.
const (
	maxPassed  = 4096
	passedTime = 10 * time.Minute
)

// enter returns what is remembered of a request, or else has what is to be remembered made.
func (p *passed[T]) enter(id string, now time.Time, create func() T) (value T, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one, ok := p.by[id]; ok && now.Sub(one.came) < passedTime {
		return one.value, true
	}
	p.forget(id)
	for len(p.queue) > 0 && (len(p.queue) >= maxPassed || now.Sub(p.by[p.queue[0]].came) >= passedTime) {
		delete(p.by, p.queue[0])
		p.queue = p.queue[1:]
	}
	if p.by == nil {
		p.by = map[string]passedOne[T]{}
	}
	p.by[id] = passedOne[T]{now, create()}
	p.queue = append(p.queue, id)
	return p.by[id].value, false
}

// leave forgets a request that has come to nothing.
func (p *passed[T]) leave(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(id)
}

func (p *passed[T]) forget(id string) {
	if _, ok := p.by[id]; ok {
		delete(p.by, id)
		p.queue = slices.DeleteFunc(p.queue, func(other string) bool { return other == id })
	}
}

// command is a POST or a DELETE that has come to this server.
type command struct {
	words any      // what it asks for; comparable
	via   []string // the way that it took
	began chan struct{}

	// To be read when began is closed.
	p   *propagation // nil if it came to nothing
	err error
}

// begin begins the work that a command asks for, unless a copy of it has come before. Then
//
//   - the same servers have passed it on again, under another address or since they got no
//     answer: they get the answer of the first copy;
//   - other servers have: they are told so at once (p is nil), and only the first sender gets
//     the outcome. Otherwise servers in a ring would wait for each other, and one failure would
//     be counted once for each sender;
//   - it asks for something else, since a server has put in credentials of its own: it is done,
//     and not passed on once more.
func (s *Server) begin(
	trace protocol.Trace, words any, slaves []protocol.Address, start func(slaves []protocol.Address) (*propagation, error),
) (p *propagation, err error) {
	c, again := s.commands.enter(trace.ID, time.Now(), func() *command {
		return &command{words: words, via: trace.Via, began: make(chan struct{})}
	})
	switch {
	case !again:
		defer close(c.began)
		if c.p, c.err = start(slaves); c.err != nil {
			s.commands.leave(trace.ID)
		}
		return c.p, c.err
	case c.words != words:
		return start(nil)
	case !slices.Equal(c.via, trace.Via):
		return nil, nil
	}
	<-c.began
	return c.p, c.err
}
