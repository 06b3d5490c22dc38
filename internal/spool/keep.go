package spool

import (
	"errors"
	"os"
	"path/filepath"
)

// keepAfterwards has the file of a lane kept, because somebody has asked for it again; c.mu is
// held, and the entry has a reader.
func (c *Cache) keepAfterwards(e *entry) {
	if e.transient == nil || e.transient.keep {
		return
	}
	e.transient.keep = true
	if e.ended { // its producer will not do it any more
		e.ended = false
		c.producers.Go(func() {
			c.keep(e)
			c.end(e)
		})
	}
}

// keep puts the complete file of a lane into the cache, if somebody has asked for it again. A
// failure is no error: those who read the file have it.
func (c *Cache) keep(e *entry) {
	p := e.transient
	c.mu.Lock()
	wanted := p.keep && e.err == nil && c.entries[e.name] == e
	c.mu.Unlock()
	if !wanted {
		return
	}
	if p.file == nil { // the producer has ended, so that nobody changes that
		if err := c.spill(e); err != nil {
			return
		}
		c.count(e, e.size)
	}
	if err := c.install(e, p.file); err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.kept = true
	p.lane.kept++
}

// spill moves the content of a lane's entry from memory to a file. The file's name is one that
// the next start removes.
func (c *Cache) spill(e *entry) error {
	file, err := c.create(filepath.Join(c.dir, e.name))
	if err != nil {
		return err
	}
	if err = e.transient.spill(file); err != nil {
		file.Close()
		return errors.Join(err, os.Remove(file.Name()))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.path = file.Name()
	return nil
}

// count counts bytes of an entry that were written to the disk.
func (c *Cache) count(e *entry, stored int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[e.name] == e {
		e.disk += stored
		c.used += stored
		c.shrink()
	}
}
