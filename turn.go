package main

import (
	"context"
	"errors"
	"sync"

	"github.com/reconquest/sould/internal/storage"
)

// turns let one worker at a time write to each mirror: a pull, a repair, or whatever
// tends its packs. Work that takes long and can be done later, such as a repack, goes on
// beside the turns of others until one of them clears it away, because it has objects or
// refs to write. Workers of different mirrors know nothing of each other. The zero value
// is ready for use.
type turns struct {
	mu   sync.Mutex // guards all below
	busy map[storage.Name]*turn
}

// turn is held for one name.
type turn struct {
	free   chan struct{} // has an element when nobody holds it
	by     int           // holders, those who wait, and who works beside
	beside *beside       // nil for nobody
}

// beside is work that goes on beside the turns of others.
type beside struct {
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when it has ended
}

// errGiveWay is why work ends that can be done later: somebody else has to write.
var errGiveWay = errors.New("somebody else has to write to the mirror")

// take waits for the turn to write to the mirror of that name, and returns what ends
// it. The error is the cause of ctx's end. Objects and refs may only be written after
// clear.
func (t *turns) take(ctx context.Context, name storage.Name) (end func(), err error) {
	one := t.line(name)
	select {
	case <-one.free:
		return t.back(name, one), nil
	case <-ctx.Done():
		t.leave(name, one)
		return nil, context.Cause(ctx)
	}
}

// try is take for work that can wait until another time: it takes the turn if nobody has it
// or wants it, or works beside it.
func (t *turns) try(name storage.Name) (end func(), free bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[name] != nil {
		return nil, false
	}
	one := t.enter(name)
	<-one.free
	return t.back(name, one), true
}

// stepAside is for who has the turn, and is about to end it: work goes on beside the turns
// of others until end is called. Its context ends when somebody calls clear. There is
// nobody beside yet.
func (t *turns) stepAside(ctx context.Context, name storage.Name) (work context.Context, end func()) {
	work, cancel := context.WithCancelCause(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.busy[name]
	b := &beside{cancel, make(chan struct{})}
	one.beside = b
	one.by++
	return work, func() {
		cancel(nil)
		t.mu.Lock()
		one.beside = nil
		t.mu.Unlock()
		close(b.over)
		t.leave(name, one)
	}
}

// clear ends the work beside the turn that the caller has, and waits until it is over.
func (t *turns) clear(name storage.Name) {
	t.mu.Lock()
	b := t.busy[name].beside
	t.mu.Unlock()
	if b != nil {
		b.cancel(errGiveWay)
		<-b.over
	}
}

// line returns the turn of a name for one more who wants it.
func (t *turns) line(name storage.Name) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.enter(name)
}

// enter is line for who holds t.mu.
func (t *turns) enter(name storage.Name) *turn {
	if t.busy == nil {
		t.busy = make(map[storage.Name]*turn)
	}
	one := t.busy[name]
	if one == nil {
		one = &turn{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		t.busy[name] = one
	}
	one.by++
	return one
}

// back returns what gives a turn back.
func (t *turns) back(name storage.Name, one *turn) func() {
	return func() { one.free <- struct{}{}; t.leave(name, one) }
}

func (t *turns) leave(name storage.Name, one *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.by--; one.by == 0 {
		delete(t.busy, name)
	}
}
