package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func (g *gate) mustBeEmpty(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in != 0 || g.waiting != 0 || len(g.lines) != 0 || len(g.turns) != 0 || len(g.background) != 0 {
		t.Errorf("%d are in, %d in line (%v, %d in the background)", g.in, g.waiting, g.turns, len(g.background))
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.resize(2)
		var in, most, served atomic.Int32
		for range 10 {
			go func() {
				if err := g.enter(t.Context(), "x"); err != nil {
					t.Error(err)
					return
				}
				most.Store(max(most.Load(), in.Add(1)))
				time.Sleep(time.Second)
				in.Add(-1)
				served.Add(1)
				g.leave()
			}()
		}
		time.Sleep(1500 * time.Millisecond)
		if most.Load() != 2 || served.Load() != 2 {
			t.Errorf("%d at once, %d served; want 2 and 2", most.Load(), served.Load())
		}
		g.resize(4)
		time.Sleep(time.Second) // the two that were in, and two that came with the new limit
		if most.Load() != 4 {
			t.Errorf("%d at once after the limit grew to 4", most.Load())
		}
		time.Sleep(time.Hour)
		if served.Load() != 10 {
			t.Errorf("%d served", served.Load())
		}
		g.mustBeEmpty(t)
	})
}

func TestGateIsLeftInOrderAndByWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.resize(1)
		if err := g.enter(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		reason := errors.New("no patience")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, reason)
		defer cancel()
		if err := g.enter(ctx, "x"); !errors.Is(err, reason) {
			t.Errorf("got %v", err)
		}
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				if err := g.enter(t.Context(), "x"); err != nil {
					t.Error(err)
				}
				order <- i
				g.leave()
			}()
			synctest.Wait()
		}
		g.leave()
		for want := range 3 {
			if got := <-order; got != want {
				t.Errorf("%d came in as number %d", got, want)
			}
		}
		synctest.Wait()
		g.mustBeEmpty(t)
	})
}

func TestGateIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.resize(1)
		if err := g.enter(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		var order []string
		come := func(what string, enter func() error) {
			go func() {
				if err := enter(); err != nil {
					t.Error(err)
				}
				order = append(order, what)
				g.leave()
			}()
			synctest.Wait()
		}
		come("background", func() error { return g.enterLast(t.Context()) })
		for _, what := range []string{"a", "a", "a", "b", "c", "b"} {
			come(what, func() error { return g.enter(t.Context(), what) })
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- g.enter(ctx, "d") }()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		g.leave()
		synctest.Wait()
		if got := strings.Join(order, " "); got != "a b c a b a background" {
			t.Errorf("they came in as %s", got)
		}
		g.mustBeEmpty(t)
	})
}

func TestGateTurnsAwayWhenTheLineIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		ctx, cancel := context.WithCancel(t.Context())
		for range maxLine {
			go func() { _ = g.enter(ctx, "x") }()
		}
		synctest.Wait()
		if err := g.enter(ctx, "y"); !errors.Is(err, errBusy) {
			t.Errorf("got %v", err)
		}
		cancel()
		synctest.Wait()
		g.resize(1)
		if err := g.enter(t.Context(), "y"); err != nil || g.waiting != 0 {
			t.Errorf("%v, %d in line", err, g.waiting)
		}
	})
}
