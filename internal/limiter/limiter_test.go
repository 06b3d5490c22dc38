package limiter

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func (l *Limiter) mustBeEmpty(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != 0 || l.queued != 0 || len(l.queues) != 0 || len(l.order) != 0 || len(l.idle) != 0 {
		t.Errorf("%d are in, %d in line (%v, %d in the background)", l.held, l.queued, l.order, len(l.idle))
	}
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		l.Resize(2)
		var mu sync.Mutex // guards in and most
		var in, most int
		var served atomic.Int32
		came := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			in += n
			most = max(most, in)
		}
		peak := func() int {
			mu.Lock()
			defer mu.Unlock()
			return most
		}
		for range 10 {
			go func() {
				if err := l.Acquire(t.Context(), "x"); err != nil {
					t.Error(err)
					return
				}
				came(1)
				time.Sleep(time.Second)
				came(-1)
				served.Add(1)
				l.Release()
			}()
		}
		time.Sleep(1500 * time.Millisecond)
		if peak() != 2 || served.Load() != 2 {
			t.Errorf("%d at once, %d served; want 2 and 2", peak(), served.Load())
		}
		l.Resize(4)
		time.Sleep(time.Second) // the two with a place, and two more after the limit has grown
		if peak() != 4 {
			t.Errorf("%d at once after the limit grew to 4", peak())
		}
		time.Sleep(time.Hour)
		if served.Load() != 10 {
			t.Errorf("%d served", served.Load())
		}
		l.mustBeEmpty(t)
	})
}

func TestQueueIsInOrderAndGivingUpLeavesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		l.Resize(1)
		if err := l.Acquire(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		reason := errors.New("no patience")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, reason)
		defer cancel()
		if err := l.Acquire(ctx, "x"); !errors.Is(err, reason) {
			t.Errorf("got %v", err)
		}
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				if err := l.Acquire(t.Context(), "x"); err != nil {
					t.Error(err)
				}
				order <- i
				l.Release()
			}()
			synctest.Wait()
		}
		l.Release()
		for want := range 3 {
			if got := <-order; got != want {
				t.Errorf("%d came in as number %d", got, want)
			}
		}
		synctest.Wait()
		l.mustBeEmpty(t)
	})
}

func TestKeysTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		l.Resize(1)
		if err := l.Acquire(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		var order []string
		come := func(what string, enter func() error) {
			go func() {
				if err := enter(); err != nil {
					t.Error(err)
				}
				order = append(order, what)
				l.Release()
			}()
			synctest.Wait()
		}
		come("background", func() error { return l.AcquireIdle(t.Context()) })
		for _, what := range []string{"a", "a", "a", "b", "c", "b"} {
			come(what, func() error { return l.Acquire(t.Context(), what) })
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- l.Acquire(ctx, "d") }()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		l.Release()
		synctest.Wait()
		if got := strings.Join(order, " "); got != "a b c a b a background" {
			t.Errorf("they came in as %s", got)
		}
		l.mustBeEmpty(t)
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		ctx, cancel := context.WithCancel(t.Context())
		for range maxQueue {
			go func() { _ = l.Acquire(ctx, "x") }()
		}
		synctest.Wait()
		if err := l.Acquire(ctx, "x"); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
		cancel()
		synctest.Wait()
		l.Resize(1)
		if err := l.Acquire(t.Context(), "y"); err != nil || l.queued != 0 {
			t.Errorf("%v, %d in line", err, l.queued)
		}
	})
}

// TestTheCrowdGivesWay: a full line has room for who comes for another key, and those who came last for the
// key of the crowd are refused.
func TestTheCrowdGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex // guards both
		var crowd, others []error
		come := func(n int, key string, to *[]error) {
			for range n {
				go func() {
					err := l.Acquire(ctx, key)
					mu.Lock()
					defer mu.Unlock()
					*to = append(*to, err)
				}()
				synctest.Wait()
			}
		}
		come(maxQueue, "crowd", &crowd)
		come(3, "y", &others)
		come(2, "z", &others)
		mu.Lock()
		if len(crowd) != 5 || !errors.Is(errors.Join(crowd...), ErrBusy) || len(others) > 0 || l.queued != maxQueue {
			t.Errorf("of the crowd %d were refused, of the others %d, and %d wait", len(crowd), len(others), l.queued)
		}
		mu.Unlock()
		come(maxQueue, "z", &others)
		if y, z := len(l.queues["y"]), len(l.queues["z"]); y != 3 || z > len(l.queues["crowd"])+1 {
			t.Errorf("%d and %d of the others wait, and %d of the crowd", y, z, len(l.queues["crowd"]))
		}
		cancel()
		synctest.Wait()
		l.mustBeEmpty(t)
	})
}

// TestNobodyWaitsForEver for a place that does not become free.
func TestNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		l.Resize(1)
		if err := l.Acquire(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if waited := l.Waited(); waited != 0 {
			t.Errorf("nobody waits, and has waited %s", waited)
		}
		came := time.Now()
		go func() {
			time.Sleep(time.Minute)
			if err := l.AcquireWithin(t.Context(), "y", time.Second); !errors.Is(err, ErrBusy) {
				t.Errorf("who waits for a second at most: %v", err)
			}
			if waited := l.Waited(); waited != time.Minute+time.Second {
				t.Errorf("the first in line has waited %s", waited)
			}
		}()
		err := l.Acquire(t.Context(), "x")
		if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "no place has become free within 5m0s") || time.Since(came) != maxWait {
			t.Errorf("after %s: %v", time.Since(came), err)
		}
		l.Release()
		l.mustBeEmpty(t)
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		if s := l.Stats(); s != (Stats{}) {
			t.Errorf("of nothing: %+v", s)
		}
		l.Resize(1)
		if err := l.Acquire(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = l.Acquire(ctx, "x") }()
		synctest.Wait()
		time.Sleep(time.Second)
		go func() { _ = l.Acquire(ctx, "y") }()
		go func() { _ = l.AcquireIdle(ctx) }()
		synctest.Wait()
		if s := l.Stats(); s != (Stats{Places: 1, Taken: 1, Waiting: 2, Longest: time.Second}) {
			t.Errorf("%+v", s)
		}
		cancel()
		synctest.Wait()
		l.Release()
		if s := l.Stats(); s != (Stats{Places: 1}) {
			t.Errorf("at the end: %+v", s)
		}
		l.mustBeEmpty(t)
	})
}
