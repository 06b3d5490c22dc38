package main

import (
	"context"
	"errors"
	"sync"
)

// turns let one worker at a time write to each mirror: a pull, a repair, or whatever
// tends its packs. Workers of different mirrors know nothing of each other. The zero
// value is ready for use.
type turns struct {
	mu   sync.Mutex // guards all below
	busy map[Name]*turn
}

// turn is held for one name.
type turn struct {
	free    chan struct{}           // has an element when nobody holds it
	by      int                     // holders and those who wait
	giveWay context.CancelCauseFunc // ends what the holder does, if it can be done later
}

// errGiveWay is why work ends that can be done later: somebody else wants the turn.
var errGiveWay = errors.New("somebody else wants to write to the mirror")

// lend is take for work that can be done later: the context that it returns ends as
// soon as somebody else wants the turn.
func (t *turns) lend(ctx context.Context, name Name) (work context.Context, end func(), err error) {
	back, err := t.take(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	work, cancel := context.WithCancelCause(ctx)
	t.mu.Lock()
	one := t.busy[name]
	one.giveWay = cancel
	if one.by > 1 {
		cancel(errGiveWay)
	}
	t.mu.Unlock()
	return work, func() {
		t.mu.Lock()
		one.giveWay = nil
		t.mu.Unlock()
		cancel(nil)
		back()
	}, nil
}

// take waits for the turn to write to the mirror of that name, and returns what ends
// it. The error is the cause of ctx's end.
func (t *turns) take(ctx context.Context, name Name) (end func(), err error) {
	one := t.line(name)
	select {
	case <-one.free:
		return func() { one.free <- struct{}{}; t.leave(name, one) }, nil
	case <-ctx.Done():
		t.leave(name, one)
		return nil, context.Cause(ctx)
	}
}

// line returns the turn of a name for one more who wants it.
func (t *turns) line(name Name) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy == nil {
		t.busy = make(map[Name]*turn)
	}
	one := t.busy[name]
	if one == nil {
		one = &turn{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		t.busy[name] = one
	}
	one.by++
	if one.giveWay != nil {
		one.giveWay(errGiveWay)
	}
	return one
}

func (t *turns) leave(name Name, one *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.by--; one.by == 0 {
		delete(t.busy, name)
	}
}
