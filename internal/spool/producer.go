package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// produce runs a producer to its end.
func (c *Cache) produce(ctx context.Context, e *entry, produce func(context.Context, io.Writer) error) {
	defer e.stop(nil)
	var w io.Writer = &writer{cache: c, entry: e}
	if e.transient != nil {
		w = &transientWriter{ctx: ctx, cache: c, entry: e}
	}
	err := run(ctx, w, produce)
	c.mu.Lock()
	delete(c.running, e)
	if err == nil && e.err == nil && ctx.Err() != nil {
		err = context.Cause(ctx) // the producer returned nil, but may have stopped early
	}
	if err == nil {
		err = e.err // of a write whose error the producer ignored
	}
	e.done, e.err = true, err
	if err != nil {
		c.forget(e)
	}
	c.wake(e)
	transient := e.transient
	c.mu.Unlock()

	switch {
	case transient != nil:
		c.keep(e)
	case err == nil:
		err = c.install(e, e.file)
	}
	if transient == nil && err != nil {
		c.mu.Lock()
		c.remove(e)
		c.mu.Unlock()
	}
	c.end(e)
}

// end releases an entry for which nothing more is to be done.
func (c *Cache) end(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.ended = true
	if e.transient != nil {
		delete(e.transient.lane.windowed, e)
	}
	c.release(e)
	c.shrink()
}

// run calls a producer, and turns a panic into an error.
func run(ctx context.Context, w io.Writer, produce func(context.Context, io.Writer) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the producer panicked: %v", v)
		}
	}()
	return produce(ctx, w)
}

// errPurged is the reason why a complete file is not kept.
var errPurged = errors.New("the file was purged")

// install makes a complete file durable and gives it its name.
func (c *Cache) install(e *entry, file *os.File) error {
	if err := file.Sync(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[e.name] != e {
		return errPurged
	}
	path := filepath.Join(c.dir, e.name)
	if err := os.Rename(e.path, path); err != nil {
		return err
	}
	e.path = path
	return nil
}

// wake tells all readers of an entry that it has changed; c.mu is held.
func (c *Cache) wake(e *entry) {
	close(e.changed)
	e.changed = make(chan struct{})
}

// writer is the writer of a producer.
type writer struct {
	cache *Cache
	entry *entry
}

// Write appends to the file and wakes its readers.
func (w *writer) Write(p []byte) (n int, err error) {
	c, e := w.cache, w.entry
	if err := c.checkRoom(e); err != nil {
		return 0, err
	}
	for n < len(p) {
		var m int
		m, err = e.file.WriteAt(p[n:], e.size)
		c.mu.Lock()
		n += m
		e.size += int64(m)
		if c.entries[e.name] == e {
			e.disk += int64(m)
			c.used += int64(m)
			c.shrink()
		}
		if m > 0 {
			c.wake(e)
		}
		if err != nil {
			err = c.explain(err)
			e.err = err
		}
		c.mu.Unlock()
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
