package main

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// gate lets a number of holders in at once. More wait in line, fairly: those who
// wait for different things take turns, so that a crowd at one thing does not
// keep out a single one at another. Background work comes when nobody else waits.
// The number may change while it is in use.
type gate struct {
	mu         sync.Mutex // guards all below
	limit      int
	in         int
	waiting    int
	lines      map[string][]*waiter // by what they wait for; none is empty
	turns      []string             // the keys of lines, next first
	background []*waiter
}

// waiter is somebody in line.
type waiter struct {
	turn chan struct{} // closed when its owner is in
	in   bool
}

// maxLine is how many may wait in line before more are turned away.
const maxLine = 1000

// errBusy is returned to those who come when the line is full.
var errBusy = errors.New("too many are waiting already")

// resize sets how many may be in at once. Those who are in stay.
func (g *gate) resize(limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = limit
	g.admit()
}

// enter waits for a place for work on something. Without an error the caller must
// leave again.
func (g *gate) enter(ctx context.Context, what string) error {
	g.mu.Lock()
	if g.waiting >= maxLine {
		g.mu.Unlock()
		return errBusy
	}
	w := &waiter{turn: make(chan struct{})}
	if g.lines == nil {
		g.lines = make(map[string][]*waiter)
	}
	if len(g.lines[what]) == 0 {
		g.turns = append(g.turns, what)
	}
	g.lines[what] = append(g.lines[what], w)
	g.waiting++
	g.admit()
	g.mu.Unlock()
	return g.wait(ctx, w, func() {
		g.waiting--
		if g.lines[what] = without(g.lines[what], w); len(g.lines[what]) == 0 {
			delete(g.lines, what)
			g.turns = without(g.turns, what)
		}
	})
}

// enterLast waits for a place for which nobody else waits.
func (g *gate) enterLast(ctx context.Context) error {
	w := &waiter{turn: make(chan struct{})}
	g.mu.Lock()
	g.background = append(g.background, w)
	g.admit()
	g.mu.Unlock()
	return g.wait(ctx, w, func() { g.background = without(g.background, w) })
}

// wait waits for a turn. Who gives up is taken out of its line.
func (g *gate) wait(ctx context.Context, w *waiter, remove func()) error {
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.in { // at the same moment
		g.in--
		g.admit()
	} else {
		remove()
	}
	return context.Cause(ctx)
}

// leave gives the place to the next in line.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.in--
	g.admit()
}

// admit lets in who can come in; g.mu is held.
func (g *gate) admit() {
	for g.in < g.limit {
		w := g.next()
		if w == nil {
			return
		}
		g.in++
		w.in = true
		close(w.turn)
	}
}

// next takes the next one out of its line, or returns nil; g.mu is held.
func (g *gate) next() (w *waiter) {
	if len(g.turns) == 0 {
		if len(g.background) > 0 {
			w, g.background = g.background[0], g.background[1:]
		}
		return w
	}
	what := g.turns[0]
	g.turns = g.turns[1:]
	w, g.lines[what] = g.lines[what][0], g.lines[what][1:]
	g.waiting--
	if len(g.lines[what]) > 0 {
		g.turns = append(g.turns, what)
	} else {
		delete(g.lines, what)
	}
	return w
}

func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(all, func(x T) bool { return x == one })
}
