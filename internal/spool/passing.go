package spool

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Lane makes files of which most are asked for once: such a file goes when its last reader has
// gone. One that is asked for a second time, soon after the first or while it is read, is kept
// in the cache. The producers of a lane wait in one line for a place to work in.
//
// A small file is in memory as long as it is not kept. Every file counts against the cache's
// limit while it is read, and where there is no room for it, its producer goes on in a window
// in memory, at the speed of its readers. That holds a place in the line. So a producer that is
// held up by a slow reader is given up when others wait, the slowest first.
type Lane struct {
	cache  *Cache
	waited func() time.Duration // how long somebody has waited in the line

	// The cache's mutex guards all below.
	asked  recent              // what was asked for lately
	held   map[*entry]struct{} // those in a window
	gaveUp time.Time           // when one of them was given up
}

// ErrTooSlow is why a producer failed that was held up by its reader.
var ErrTooSlow = errors.New("its reader takes it in too slowly: others wait, and there is no room to make it ahead of the reader")

const (
	// window is how much of a file that is not kept may be in memory, in bytes.
	window = 64 << 10

	// patience is how long others wait in line, and a producer for its reader, before it may be
	// given up.
	patience = 5 * time.Second

	// fastEnough is at what speed a reader is not given up, in bytes a second.
	fastEnough = 1 << 20

	// lookEvery is how often a producer that waits for its reader looks whether it should, and
	// the time between two that are given up: the place of the first must get free.
	lookEvery = time.Second
)

// NewLane returns a lane of a cache. waited tells how long somebody has waited in the line of
// its producers; it must not use the cache.
func (c *Cache) NewLane(waited func() time.Duration) *Lane {
	return &Lane{cache: c, waited: waited, held: make(map[*entry]struct{})}
}

// Get is [Cache.Get] for a file that is kept only if it is asked for again. For want of room it
// does not fail; its producer may fail with [ErrTooSlow].
func (l *Lane) Get(key string, produce func(ctx context.Context, w io.Writer) error) (*Reader, error) {
	c, name := l.cache, fileName(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	again := l.asked.add(name)
	if e := c.entries[name]; e != nil {
		r := c.read(e)
		c.keepAfterwards(e)
		return r, nil
	}
	p := &passing{lane: l, keep: again, readers: make(map[*Reader]struct{}), taken: make(chan struct{}, 1)}
	return c.start(&entry{name: name, passing: p}, produce), nil
}

// passing is what is special about an entry of a lane, up to when it is kept and its first
// readers have gone.
type passing struct {
	lane   *Lane
	taken  chan struct{} // has one element when a reader has got further
	isHeld bool          // there is a window; only the producer uses it

	// The cache's mutex guards these, and the offsets of the readers.
	keep    bool // it was asked for again
	kept    bool // it is in the cache
	readers map[*Reader]struct{}
	pace    pace // of the readers since there is a window

	mu     sync.RWMutex // guards all below; who produces changes them
	base   int64        // where what is in memory begins
	memory []byte
	file   *os.File // nil before there is one, and when there is a window
}

// pace tells how fast readers are when somebody waits for them.
type pace struct {
	from    int64         // how far they were when that began
	waited  time.Duration // for them
	waiting time.Time     // since when; zero if nobody waits
}

// ReadAt reads what is there.
func (p *passing) ReadAt(b []byte, offset int64) (n int, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.file != nil {
		return p.file.ReadAt(b, offset)
	}
	if n = copy(b, p.memory[offset-p.base:]); n < len(b) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// remember appends to what is in memory as much as there is room for.
func (p *passing) remember(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(b), window-len(p.memory))
	p.memory = append(p.memory, b[:n]...)
	return n
}

// spill moves what is in memory to a file.
func (p *passing) spill(file *os.File) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := file.WriteAt(p.memory, 0); err != nil {
		return err
	}
	p.file, p.memory = file, nil
	return nil
}

// moveWindow lets go of all that is before an offset.
func (p *passing) moveWindow(to int64) {
	p.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.base, p.memory = to, p.memory[:0]
}

// close lets go of the file.
func (p *passing) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		p.file.Close()
		p.file = nil
	}
}

// slowest is how far the last of the readers is; the cache's mutex is held.
func (p *passing) slowest(size int64) int64 {
	for r := range p.readers {
		size = min(size, r.offset)
	}
	return size
}

// speed is that of the readers while they were waited for, in bytes a second; the cache's
// mutex is held. Of those that were not waited for long it is known to be high.
func (p *passing) speed(size int64, now time.Time) float64 {
	waited := p.pace.waited
	if !p.pace.waiting.IsZero() {
		waited += now.Sub(p.pace.waiting)
	}
	if waited < patience {
		return fastEnough
	}
	return float64(p.slowest(size)-p.pace.from) / waited.Seconds()
}

// givesUp reports whether an entry has to make place for those who wait; the cache's mutex is
// held.
func (l *Lane) givesUp(e *entry, now time.Time) bool {
	if now.Sub(l.gaveUp) < lookEvery {
		return false
	}
	speed := e.passing.speed(e.size, now)
	if speed >= fastEnough {
		return false
	}
	for other := range l.held {
		if other.passing.speed(other.size, now) < speed {
			return false
		}
	}
	l.gaveUp = now
	return true
}

// passingWriter is where the producer of an entry that is not kept writes to.
type passingWriter struct {
	ctx   context.Context // of the producer
	cache *Cache
	entry *entry
}

// Write appends to the file and lets readers see what is there.
func (w *passingWriter) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = w.put(b[n:])
		n += m
	}
	return n, err
}

// put takes in a part, to where there is room.
func (w *passingWriter) put(b []byte) (n int, err error) {
	p := w.entry.passing
	switch {
	case p.isHeld:
		if len(p.memory) == window {
			if err = w.await(); err != nil {
				return 0, err
			}
			p.moveWindow(w.entry.size)
		}
		n = p.remember(b)
		w.grow(n, 0)
		return n, nil
	case p.file == nil && len(p.memory)+len(b) <= window:
		n = p.remember(b)
		w.grow(n, 0)
		return n, nil
	}
	n, err = w.store(b)
	if errors.Is(err, ErrNoSpace) {
		err = w.hold()
	}
	return n, err
}

// grow lets readers see what was added to the file, and counts what lies on the disk.
func (w *passingWriter) grow(n int, stored int64) {
	c, e := w.cache, w.entry
	c.count(e, stored)
	c.mu.Lock()
	defer c.mu.Unlock()
	e.size += int64(n)
	c.wake(e)
}

// store writes to the disk. If there is no room, the error is ErrNoSpace.
func (w *passingWriter) store(b []byte) (n int, err error) {
	c, e := w.cache, w.entry
	if !c.hasRoom() {
		return 0, ErrNoSpace
	}
	if e.passing.file == nil {
		if err = c.spill(e); err == nil {
			c.count(e, e.size)
		}
	}
	if err == nil {
		n, err = e.passing.file.WriteAt(b, e.size)
		w.grow(n, int64(n))
	}
	if err == nil {
		return n, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return n, c.explain(err)
}

// spill puts what is in memory into a file, which has no name that a later start would find.
func (c *Cache) spill(e *entry) error {
	file, err := c.create(filepath.Join(c.dir, e.name))
	if err != nil {
		return err
	}
	if err = e.passing.spill(file); err != nil {
		file.Close()
		return errors.Join(err, os.Remove(file.Name()))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.path = file.Name()
	return nil
}

// keepAfterwards has the file of a lane kept, since it was asked for again; c.mu is held, and
// the entry has a reader.
func (c *Cache) keepAfterwards(e *entry) {
	if e.passing == nil || e.passing.keep {
		return
	}
	e.passing.keep = true
	if e.ended { // and nobody else will do it
		e.ended = false
		c.producers.Go(func() {
			c.keep(e)
			c.end(e)
		})
	}
}

// keep puts the complete file of a lane into the cache, if it was asked for again. A failure
// concerns nobody: who reads it has it.
func (c *Cache) keep(e *entry) {
	p := e.passing
	c.mu.Lock()
	wanted := p.keep && e.err == nil && c.entries[e.name] == e
	c.mu.Unlock()
	if !wanted {
		return
	}
	if p.file == nil { // nobody produces any more, who could change that
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
}

// count counts bytes of an entry's file that were put on the disk.
func (c *Cache) count(e *entry, stored int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[e.name] == e {
		e.disk += stored
		c.used += stored
		c.shrink()
	}
}

// hold goes on in a window, from where all readers have what there is.
func (w *passingWriter) hold() error {
	c, e := w.cache, w.entry
	p := e.passing
	p.isHeld = true
	c.mu.Lock()
	c.forgetName(e) // who comes now finds its beginning no more
	p.lane.held[e] = struct{}{}
	p.pace.from = p.slowest(e.size)
	c.mu.Unlock()
	if err := w.await(); err != nil {
		return err
	}
	p.moveWindow(e.size)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(e)
	return nil
}

// await waits until all readers have what there is.
func (w *passingWriter) await() error {
	c, p := w.cache, w.entry.passing
	c.mu.Lock()
	p.pace.waiting = time.Now()
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		p.pace.waited += time.Since(p.pace.waiting)
		p.pace.waiting = time.Time{}
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		if w.isTaken() {
			return nil
		}
		select {
		case <-p.taken:
		case <-look.C:
			if w.givesUp() {
				return ErrTooSlow
			}
		case <-w.ctx.Done():
		}
	}
}

// isTaken reports whether all readers have what there is.
func (w *passingWriter) isTaken() bool {
	w.cache.mu.Lock()
	defer w.cache.mu.Unlock()
	return w.entry.passing.slowest(w.entry.size) == w.entry.size
}

// givesUp reports whether the producer has to end for those who wait for its place.
func (w *passingWriter) givesUp() bool {
	lane := w.entry.passing.lane
	if lane.waited() < patience {
		return false
	}
	w.cache.mu.Lock()
	defer w.cache.mu.Unlock()
	return lane.givesUp(w.entry, time.Now())
}

// advance notes that a reader has got further, and tells the producer that may wait for it.
func (r *Reader) advance(n int) {
	p := r.entry.passing
	if p == nil {
		r.offset += int64(n)
		return
	}
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.offset += int64(n)
	p.wakeProducer()
}

// wakeProducer has the producer look how far the readers are.
func (p *passing) wakeProducer() {
	select {
	case p.taken <- struct{}{}:
	default:
	}
}
