package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.resize(2)
		var in, most, served atomic.Int32
		for range 10 {
			go func() {
				if err := g.enter(t.Context()); err != nil {
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
		if served.Load() != 10 || g.in != 0 || len(g.line) != 0 {
			t.Errorf("%d served, %d in, %d in line", served.Load(), g.in, len(g.line))
		}
	})
}

func TestGateIsLeftInOrderAndByWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.resize(1)
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		reason := errors.New("no patience")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, reason)
		defer cancel()
		if err := g.enter(ctx); !errors.Is(err, reason) {
			t.Errorf("got %v", err)
		}
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				if err := g.enter(t.Context()); err != nil {
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
		if g.in != 0 {
			t.Errorf("%d are in", g.in)
		}
	})
}
