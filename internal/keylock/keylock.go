// Package keylock gives each key one writer at a time.
//
// A writer whose work takes long and can be done again later steps down with Downgrade: it
// works on in the background, while others lock and unlock the key beside it. The first of
// them that is about to change what the background work relies on calls Preempt, which ends
// that work and waits until it has ended.
package keylock

import (
	"context"
	"errors"
	"sync"
)

// Locks are the locks of all keys. The zero value is ready for use. Keys that nobody uses
// take no memory.
type Locks[K comparable] struct {
	mu   sync.Mutex // guards busy, and what the entries say
	busy map[K]*entry
}

// entry is the lock of one key that somebody uses.
type entry struct {
	free       chan struct{} // has an element when nobody holds the lock
	users      int           // holders, those who wait, and who works in the background
	background *Background   // nil for none
}

// Lock is one key, locked. It belongs to one goroutine.
type Lock[K comparable] struct {
	locks *Locks[K]
	key   K
	entry *entry
}

// Background is work that goes on beside later holders of the lock.
type Background struct {
	// Context ends with ErrPreempted as its cause when a holder calls Preempt.
	Context context.Context
	cancel  context.CancelCauseFunc
	ended   chan struct{} // closed by Done
	release func()
}

// ErrPreempted is why background work ends: somebody else has to write.
var ErrPreempted = errors.New("somebody else needs the lock")

// Lock waits until nobody holds the key's lock. The error is the cause of ctx's end.
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

// TryLock locks a key that nobody holds, waits for, or works on in the background.
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

// Unlock lets the next one have the key.
func (l *Lock[K]) Unlock() {
	l.entry.free <- struct{}{}
	l.locks.release(l.key, l.entry)
}

// Preempt ends the work in the background, if there is any, and waits until it has ended.
func (l *Lock[K]) Preempt() {
	l.locks.mu.Lock()
	b := l.entry.background
	l.locks.mu.Unlock()
	if b != nil {
		b.cancel(ErrPreempted)
		<-b.ended
	}
}

// Downgrade unlocks the key for work that goes on in the background until its Done is
// called. There must be none yet: call Preempt first.
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

// Done says that the work has ended.
func (b *Background) Done() {
	b.cancel(nil)
	b.release()
}

// use returns the entry of a key for one more user; l.mu is held.
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

// release says that there is one user less.
func (l *Locks[K]) release(key K, e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.users--; e.users == 0 {
		delete(l.busy, key)
	}
}
