package main

import (
	"context"
	"sync"
)

// gate lets a number of holders in at once; more wait in line, first come first
// served. The number may change while it is in use.
type gate struct {
	mu    sync.Mutex // guards all below
	limit int
	in    int
	line  []chan struct{} // closed when its owner is in
}

// resize sets how many may be in at once. Those who are in stay.
func (g *gate) resize(limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = limit
	g.admit()
}

// enter waits for a place. Without an error the caller must leave again.
func (g *gate) enter(ctx context.Context) error {
	g.mu.Lock()
	turn := make(chan struct{})
	g.line = append(g.line, turn)
	g.admit()
	g.mu.Unlock()

	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	for i, c := range g.line {
		if c == turn {
			g.line = append(g.line[:i], g.line[i+1:]...)
			return context.Cause(ctx)
		}
	}
	g.in-- // it was let in at the same moment
	g.admit()
	return context.Cause(ctx)
}

// leave gives the place to the next in line.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.in--
	g.admit()
}

func (g *gate) admit() {
	for len(g.line) > 0 && g.in < g.limit {
		close(g.line[0])
		g.line = g.line[1:]
		g.in++
	}
}
