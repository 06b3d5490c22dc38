// Package limiter bounds how much work runs at once, fairly.
//
// Each waiter waits for work on something: a key. Keys take turns, so that a crowd that waits
// for one key does not keep out a single waiter for another. Within a key, the first comes
// first, and if the line is full, the last of the longest queue gives way to who comes for a key with
// fewer. Idle work gets places that nobody else wants. The limit may change at any time. Nobody
// waits for ever, except idle work.
package limiter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Limiter gives out a limited number of places. The zero value has none until Resize.
type Limiter struct {
	mu     sync.Mutex // guards all below
	limit  int
	held   int                  // places that are taken
	queued int                  // waiters in all queues
	queues map[string][]*waiter // by key; none is empty
	order  []string             // the keys of queues, in the order of their turns
	idle   []*waiter            // waiters of AcquireIdle
}

// waiter is one call that waits for a place.
type waiter struct {
	granted chan struct{}           // closed when it has a place
	since   time.Time               // when it began to wait
	refuse  context.CancelCauseFunc // ends its wait; nil for idle work
	holds   bool                    // guarded by Limiter.mu
}

const (
	// maxQueue is how many may wait until more are refused.
	maxQueue = 1000

	// maxWait is how long one waits for a place until it is refused.
	maxWait = 5 * time.Minute
)

// ErrBusy is returned if the queue is full, or after too long a wait.
var ErrBusy = errors.New("too many others are waiting already")

// Resize sets the number of places. Nobody loses a place.
func (l *Limiter) Resize(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
	l.grant()
}

// Acquire waits for a place for work on a key, at most five minutes. Without an error, the
// caller must call Release. The error is ErrBusy, or the cause of ctx's end.
func (l *Limiter) Acquire(ctx context.Context, key string) error {
	return l.AcquireWithin(ctx, key, maxWait)
}

// AcquireWithin is Acquire with another limit for the wait.
func (l *Limiter) AcquireWithin(ctx context.Context, key string, limit time.Duration) error {
	if ctx.Err() == nil && l.tryAcquire() {
		return nil
	}
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: no place has become free within %s", ErrBusy, limit))
	defer cancel()
	l.mu.Lock()
	if l.queued >= maxQueue && !l.makeWay(key) {
		l.mu.Unlock()
		return ErrBusy
	}
	w := &waiter{granted: make(chan struct{}), since: time.Now(), refuse: refuse}
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
	return l.wait(ctx, w, func() { l.leave(key, w) })
}

// leave removes a waiter from its queue, if it is there; l.mu is held.
func (l *Limiter) leave(key string, w *waiter) {
	if !slices.Contains(l.queues[key], w) {
		return
	}
	l.queued--
	if l.queues[key] = remove(l.queues[key], w); len(l.queues[key]) == 0 {
		delete(l.queues, key)
		l.order = remove(l.order, key)
	}
}

// makeWay refuses the last waiter of the longest queue, for one who comes for a key with fewer. ok is false
// if there is no longer queue; l.mu is held.
func (l *Limiter) makeWay(key string) (ok bool) {
	longest := key
	for other, queue := range l.queues {
		if len(queue) > len(l.queues[longest]) {
			longest = other
		}
	}
	queue := l.queues[longest]
	if len(queue) <= len(l.queues[key])+1 {
		return false
	}
	last := queue[len(queue)-1]
	l.leave(longest, last)
	last.refuse(ErrBusy)
	return true
}

// tryAcquire takes a place if one is free: nobody waits for one then.
func (l *Limiter) tryAcquire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held >= l.limit {
		return false
	}
	l.held++
	return true
}

// Waited returns how long the longest waiter in a queue has waited, or 0. Idle work does not
// count.
func (l *Limiter) Waited() (longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, queue := range l.queues {
		longest = max(longest, time.Since(queue[0].since))
	}
	return longest
}

// Stats is how busy a limiter is at a moment.
type Stats struct {
	Places, Taken, Waiting int           // idle work does not count as waiting
	Longest                time.Duration // that one of those who wait now has waited
}

// Stats returns how busy the limiter is now.
func (l *Limiter) Stats() Stats {
	longest := l.Waited()
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{l.limit, l.held, l.queued, longest}
}

// AcquireIdle is Acquire for idle work: it gets a place only when nobody else wants one,
// however late that is.
func (l *Limiter) AcquireIdle(ctx context.Context) error {
	w := &waiter{granted: make(chan struct{})}
	l.mu.Lock()
	l.idle = append(l.idle, w)
	l.grant()
	l.mu.Unlock()
	return l.wait(ctx, w, func() { l.idle = remove(l.idle, w) })
}

// wait waits for a place. If it ends without one, it calls leaveQueue, with l.mu held, which
// removes the waiter from its queue.
func (l *Limiter) wait(ctx context.Context, w *waiter, leaveQueue func()) error {
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.holds { // it got a place at the same moment
		l.held--
		l.grant()
	} else {
		leaveQueue()
	}
	return context.Cause(ctx)
}

// Release returns a place.
func (l *Limiter) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held--
	l.grant()
}

// grant gives free places to waiters; l.mu is held.
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

// next removes the next waiter from its queue and returns it, or nil; l.mu is held.
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

// remove removes an element from a slice.
func remove[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(all, func(x T) bool { return x == one })
}
