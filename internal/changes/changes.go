// Package changes counts changes of something, and wakes those who wait for the next one.
//
// Whoever shows the thing reads the count first and the thing then, so that a change in between is
// not missed:
//
//	seen := counter.Count()
//	show(thing)
//	<-counter.After(seen)
//
// It takes no memory for each who waits, and a change costs the same for a thousand as for one.
package changes

import (
	"sync"
	"sync/atomic"
)

// Counter counts changes. The zero value is ready for use. It is safe for concurrent use.
type Counter struct {
	count atomic.Uint64

	mu   sync.Mutex    // guards next
	next chan struct{} // closed with the next change; nil if nobody waits
}

// Add records a change, and returns how many there have been.
func (c *Counter) Add() uint64 {
	now := c.count.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
	return now
}

// Count returns how many changes there have been.
func (c *Counter) Count() uint64 { return c.count.Load() }

// closed is what After returns if the change has been.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// After returns a channel that is closed once there have been more changes than seen, or fewer.
func (c *Counter) After(seen uint64) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count.Load() != seen {
		return closed
	}
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}
