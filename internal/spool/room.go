package spool

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"time"
)

// ErrNoSpace is the error of a producer that failed or did not start because the disk is
// full or read-only, or because too much of the cache is in use.
var ErrNoSpace = errors.New("no space left for a file in the cache")

const (
	// spare is by how many bytes the files in use may exceed the limit. Readers should share a
	// file even if the cache is small.
	spare = 256 << 20

	// fullFor is how long a full disk is remembered.
	fullFor = 10 * time.Second

	// maxOpen is how many files are kept open for later readers.
	maxOpen = 64
)

// isFull reports whether an error says that the disk is full, or the quota exhausted.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// checkRoom refuses a producer that has not written yet, if the files in use leave no room for it.
func (c *Cache) checkRoom(e *entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.size == 0 && c.used-c.limit > c.spare { // shrink has left no idle file
		e.err = ErrNoSpace
	}
	return e.err
}

// shrink removes idle files until the cache is within its limit or none is left; c.mu is
// held.
func (c *Cache) shrink() {
	for c.used > c.limit && c.evict() {
	}
}

// evict removes the least recently used idle file, and reports whether there was one; c.mu
// is held.
func (c *Cache) evict() bool {
	oldest := c.idle.Front()
	if oldest == nil {
		return false
	}
	c.drop(oldest.Value.(*entry))
	c.evicted++
	return true
}

// drop removes an idle file; c.mu is held.
func (c *Cache) drop(e *entry) {
	c.idle.Remove(e.idle)
	c.forget(e)
	for _, f := range e.open {
		f.Close()
		c.open--
	}
	e.open = nil
	_ = os.Remove(e.path) // if that fails, the next Open finds the file again
}

// forget removes an entry from the cache, so that no new reader finds it; c.mu is held.
// Readers that have it already go on.
func (c *Cache) forget(e *entry) {
	c.forgetName(e)
	c.used -= e.disk
	e.disk = 0
}

// remove forgets an entry whose file has not got its name yet, and removes the file; c.mu is held.
func (c *Cache) remove(e *entry) {
	c.forget(e)
	if e.path != "" {
		_ = os.Remove(e.path) // if that fails, the next Open does it
		e.path = ""
	}
}

// Purge removes the files of an owner. Those who read one have it to its end, and a growing one
// is not kept.
func (c *Cache) Purge(owner string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, e := range c.entries {
		switch {
		case !strings.HasPrefix(name, ownerPrefix(owner)):
		case e.idle != nil:
			c.drop(e)
		case e.ended && (e.transient == nil || e.transient.kept): // it has its name, and readers
			c.forget(e)
			_ = os.Remove(e.path)
		default:
			c.forget(e)
		}
	}
}

// forgetName is forget for an entry that still takes disk space; c.mu is held.
func (c *Cache) forgetName(e *entry) {
	if c.entries[e.name] == e {
		delete(c.entries, e.name)
	}
}

// release closes the file of an entry that has neither a producer nor a reader; c.mu is
// held. If the entry is in the cache, it may be evicted from now on.
func (c *Cache) release(e *entry) {
	if !e.ended || e.readers > 0 {
		return
	}
	if t := e.transient; t != nil {
		t.close()
		if !t.kept {
			c.remove(e)
			return
		}
		e.transient = nil
	}
	if e.file != nil {
		e.file.Close()
		e.file = nil
	}
	if c.entries[e.name] == e {
		e.idle = c.idle.PushBack(e)
	}
}

// putBack keeps a file open for the next reader, or closes it; c.mu is held. Opening a small file
// takes as long as sending it.
func (c *Cache) putBack(e *entry, f *os.File) {
	if c.entries[e.name] != e || c.open >= maxOpen || c.closed {
		f.Close()
		return
	}
	e.open = append(e.open, f)
	c.open++
}

// hasRoom reports whether more may be written to the disk.
func (c *Cache) hasRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used-c.limit <= c.spare && !time.Now().Before(c.fullUntil)
}

// explain turns an error of writing into nil if it has removed an idle file to make room, and into
// ErrNoSpace if there is no room; c.mu is held.
func (c *Cache) explain(err error) error {
	full := isFull(err)
	switch {
	case full && c.evict():
		return nil
	case full, errors.Is(err, syscall.EROFS):
		c.fullUntil = time.Now().Add(fullFor)
		return ErrNoSpace
	default:
		return err
	}
}
