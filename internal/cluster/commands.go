package cluster

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/protocol"
)

// Commands has each command, a POST or a DELETE, worked on once, although servers that pass
// everything on to each other send it many times: six masters would make hundreds of one POST.
// T is the work on a command. The zero value is ready for use.
type Commands[T any] struct {
	recent coalesce.Recent[*command[T]]

	mu   sync.Mutex    // guards kept, and the work of all commands
	kept []*command[T] // those that have work, the oldest first
}

// command is one that has come to this server.
type command[T any] struct {
	words any      // what it asks for; comparable
	via   []string // the servers that have passed it on
	began chan struct{}

	err  error // to be read when began is closed
	work *T    // nil if it is not kept
}

// maxKeptWork is for how many commands the work is kept, which may hold the answers of many servers: for
// those that the same server may send once more.
const maxKeptWork = 32

// ErrElsewhere is why there is no work for a second copy of a command.
var ErrElsewhere = errors.New("this server works on it for another sender")

// Begin has the work on a command started, unless a copy of it has come before. A second copy
//
//   - that the same servers have passed on, under another address or since they got no answer,
//     gets the work on the first one, if that is not long ago;
//   - that other servers have passed on gets ErrElsewhere, at once: only the first sender is
//     told the outcome. Otherwise servers in a ring would wait for each other, and one failure
//     would be counted once for each sender;
//   - that asks for something else, since a server has put in credentials of its own, is
//     started, but not as the first: it must not be passed on once more.
func (cs *Commands[T]) Begin(trace protocol.Trace, words any, start func(first bool) (T, error)) (work T, err error) {
	c, again := cs.recent.Enter(trace.ID, time.Now(), func() *command[T] {
		return &command[T]{words: words, via: trace.Via, began: make(chan struct{})}
	})
	switch {
	case !again:
		defer close(c.began)
		work, c.err = start(true)
		switch {
		case c.err != nil:
			cs.recent.Leave(trace.ID)
		case !trace.Begins: // of one that begins here every copy comes by way of others
			cs.keep(c, work)
		}
		return work, c.err
	case c.words != words:
		return start(false)
	case !slices.Equal(c.via, trace.Via):
		return work, ErrElsewhere
	}
	<-c.began
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case c.err != nil:
		return work, c.err
	case c.work == nil:
		return work, ErrElsewhere
	}
	return *c.work, nil
}

// keep keeps the work on a command, and drops the oldest one instead.
func (cs *Commands[T]) keep(c *command[T], work T) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.work = &work
	if cs.kept = append(cs.kept, c); len(cs.kept) > maxKeptWork {
		cs.kept[0].work = nil
		cs.kept = cs.kept[1:]
	}
}
