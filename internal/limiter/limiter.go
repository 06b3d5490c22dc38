// Package limiter bounds how much runs at once, fairly.
//
// Who waits, waits for work on something: a key. Keys take turns, so that a crowd that
// waits for one of them does not keep out a single one who waits for another; within a key
// it is first come, first served. Work that can wait takes what nobody else wants. The
// limit may change while it is in use. Nobody waits for ever.
package limiter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Limiter hands out a limited number of places. The zero value has none until Resize.
type Limiter struct {
	mu     sync.Mutex // guards all below
	limit  int
	held   int                  // places that are taken
	queued int                  // waiters in all queues
	queues map[string][]*waiter // by key; none is empty
	order  []string             // the keys of queues, next first
	idle   []*waiter            // who waits for what nobody else wants
}

// waiter is somebody in a queue.
type waiter struct {
	granted chan struct{} // closed when it has a place
	since   time.Time     // when it came
	holds   bool          // guarded by Limiter.mu
}

const (
	// maxQueue is how many may wait before more are turned away.
	maxQueue = 1000

	// maxWait is how long one waits for a place before it is turned away as well.
	maxWait = 5 * time.Minute
)

// ErrBusy is returned to those who come when the queue is full, and to those who have waited
// too long in it.
var ErrBusy = errors.New("too many are waiting already")

// Resize sets how many places there are. Who has one keeps it.
func (l *Limiter) Resize(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
	l.grant()
}

// Acquire waits for a place for work on a key, five minutes at most. The error is ErrBusy, or
// the cause of ctx's end; without one the caller must call Release.
func (l *Limiter) Acquire(ctx context.Context, key string) error {
	return l.AcquireWithin(ctx, key, maxWait)
}

// AcquireWithin is Acquire for who can wait longer, or less long.
func (l *Limiter) AcquireWithin(ctx context.Context, key string, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: no place has become free within %s", ErrBusy, limit))
	defer cancel()
	l.mu.Lock()
	if l.queued >= maxQueue {
		l.mu.Unlock()
		return ErrBusy
	}
	w := &waiter{granted: make(chan struct{}), since: time.Now()}
	if l.queues == nil {
		l.queues = make(map[string][]*waiter)
	}
	if len(l.queues[key]) == 0 {
		l.order = append(l.order, key)
	}
	l.queues[key] = append(l.queues[key], w)
	l.queued++
	l.grant()
	l.mu.Unlock()
	return l.wait(ctx, w, func() {
		l.queued--
		if l.queues[key] = remove(l.queues[key], w); len(l.queues[key]) == 0 {
			delete(l.queues, key)
			l.order = remove(l.order, key)
		}
	})
}

// Waited returns how long the one in the queue has waited who has waited longest: 0 if nobody
// waits. Work that can wait does not count.
func (l *Limiter) Waited() (longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, queue := range l.queues {
		longest = max(longest, time.Since(queue[0].since))
	}
	return longest
}

// AcquireIdle is Acquire for work that can wait: it gets a place when nobody else wants one,
// however late that is.
func (l *Limiter) AcquireIdle(ctx context.Context) error {
	w := &waiter{granted: make(chan struct{})}
	l.mu.Lock()
	l.idle = append(l.idle, w)
	l.grant()
	l.mu.Unlock()
	return l.wait(ctx, w, func() { l.idle = remove(l.idle, w) })
}

// wait waits for a place. leaveQueue takes a waiter that gives up out of its queue; l.mu is
// held then.
func (l *Limiter) wait(ctx context.Context, w *waiter, leaveQueue func()) error {
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.holds { // it was granted at the same moment
		l.held--
		l.grant()
	} else {
		leaveQueue()
	}
	return context.Cause(ctx)
}

// Release gives a place to the next in line.
func (l *Limiter) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held--
	l.grant()
}

// grant hands out the places that are free; l.mu is held.
func (l *Limiter) grant() {
	for l.held < l.limit {
		w := l.next()
		if w == nil {
			return
		}
		l.held++
		w.holds = true
		close(w.granted)
	}
}

// next takes the next waiter out of its queue, or returns nil; l.mu is held.
func (l *Limiter) next() (w *waiter) {
	if len(l.order) == 0 {
		if len(l.idle) > 0 {
			w, l.idle = l.idle[0], l.idle[1:]
		}
		return w
	}
	key := l.order[0]
	l.order = l.order[1:]
	w, l.queues[key] = l.queues[key][0], l.queues[key][1:]
	l.queued--
	if len(l.queues[key]) > 0 {
		l.order = append(l.order, key)
	} else {
		delete(l.queues, key)
	}
	return w
}

// remove returns all without one of them.
func remove[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(all, func(x T) bool { return x == one })
}
