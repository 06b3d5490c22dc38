// Package keylock gives each key one writer at a time.
//
// A writer with long work that can be repeated later calls Downgrade: its work goes on in the
// background, while others lock and unlock the key. Before one of them changes anything that
// the background work relies on, it calls Preempt, which cancels that work and waits for its
// end.
package keylock

import (
	"context"
	"errors"
	"sync"
)

// Locks are the locks of all keys. The zero value is ready for use. Unused keys take no memory.
type Locks[K comparable] struct {
	mu   sync.Mutex // guards busy and the entries in it
	busy map[K]*entry
}

// entry is the lock of one key that is in use.
type entry struct {
	free       chan struct{} // has an element while nobody holds the lock
	users      int           // holder, waiters and background work; the entry is removed at 0
	background *Background   // nil for none
}

// Lock is the lock of one key, held by one goroutine.
type Lock[K comparable] struct {
	locks *Locks[K]
	key   K
	entry *entry
}

// Background is work that goes on while others hold the lock.
type Background struct {
	// Context ends with ErrPreempted as its cause when a holder calls Preempt.
	Context context.Context
	cancel  context.CancelCauseFunc
	ended   chan struct{} // closed by Done
	release func()
}

// ErrPreempted is the cause of the end of background work that was preempted.
var ErrPreempted = errors.New("somebody else needs the lock")

// Lock waits until the key's lock is free, and takes it. The error is the cause of ctx's end.
func (l *Locks[K]) Lock(ctx context.Context, key K) (*Lock[K], error) {
	l.mu.Lock()
	e := l.use(key)
	l.mu.Unlock()
	select {
	case <-e.free:
		return &Lock[K]{l, key, e}, nil
	case <-ctx.Done():
		l.release(key, e)
		return nil, context.Cause(ctx)
	}
}

// TryLock locks a key that nobody holds or waits for, and that has no background work.
func (l *Locks[K]) TryLock(key K) (lock *Lock[K], ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[key] != nil {
		return nil, false
	}
	e := l.use(key)
	<-e.free
	return &Lock[K]{l, key, e}, true
}

// Unlock releases the lock.
func (l *Lock[K]) Unlock() {
	l.entry.free <- struct{}{}
	l.locks.release(l.key, l.entry)
}

// Preempt cancels the background work, if there is any, and waits until it has ended.
func (l *Lock[K]) Preempt() {
	l.locks.mu.Lock()
	b := l.entry.background
	l.locks.mu.Unlock()
	if b != nil {
		b.cancel(ErrPreempted)
		<-b.ended
	}
}

// Downgrade unlocks the key, and starts background work, which lasts until its Done is called.
// There must be no other background work: call Preempt first.
func (l *Lock[K]) Downgrade(ctx context.Context) *Background {
	ctx, cancel := context.WithCancelCause(ctx)
	b := &Background{Context: ctx, cancel: cancel, ended: make(chan struct{})}
	b.release = func() {
		l.locks.mu.Lock()
		l.entry.background = nil
		l.locks.mu.Unlock()
		close(b.ended)
		l.locks.release(l.key, l.entry)
	}
	l.locks.mu.Lock()
	l.entry.background = b
	l.entry.users++
	l.locks.mu.Unlock()
	l.Unlock()
	return b
}

// Done ends the background work.
func (b *Background) Done() {
	b.cancel(nil)
	b.release()
}

// use adds a user to the entry of a key; l.mu is held.
func (l *Locks[K]) use(key K) *entry {
	if l.busy == nil {
		l.busy = make(map[K]*entry)
	}
	e := l.busy[key]
	if e == nil {
		e = &entry{free: make(chan struct{}, 1)}
		e.free <- struct{}{}
		l.busy[key] = e
	}
	e.users++
	return e
}

// release removes a user from the entry of a key.
func (l *Locks[K]) release(key K, e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.users--; e.users == 0 {
		delete(l.busy, key)
	}
}
