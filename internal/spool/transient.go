package spool

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Lane makes files of which most are asked for once: such a file is removed with its last reader.
// One that is asked for a second time, soon after the first or while it is read, is kept in the
// cache. The producers of a lane wait in one queue for a place, which each holds while it works.
//
// A small file is in memory as long as it is not kept. A larger one counts against the cache's limit
// while it is read. If there is no room for it, its producer goes on in a window in memory, at the
// speed of its readers, and holds its place for so long. So when others wait in the queue, a producer
// whose reader is slow is given up, the slowest first.
type Lane struct {
	cache  *Cache
	waited func() time.Duration // how long the first producer in the queue has waited

	// The cache's mutex guards all below.
	asked    recent              // the keys that were asked for lately
	windowed map[*entry]struct{} // entries in a window
	gaveUp   time.Time           // when one of them was given up
	kept     uint64              // files that were kept
}

// ErrTooSlow is the error of a producer that was given up because of its reader.
var ErrTooSlow = errors.New("its client reads it too slowly: others wait, and there is no room to make it ahead of that client")

const (
	// window is how many bytes of a file that is not kept may be in memory.
	window = 64 << 10

	// patience is how long others must have waited in the queue, and a producer for its reader,
	// before the producer may be given up.
	patience = 5 * time.Second

	// fastEnough is the speed from which on a reader is not given up, in bytes a second.
	fastEnough = 1 << 20

	// lookEvery is how often a waiting producer looks whether it is to be given up, and the least
	// time between two that are: the place of the first one must become free.
	lookEvery = time.Second
)

// NewLane returns a lane of a cache. waited returns how long the first producer in the queue has
// waited; it must not use the cache.
func (c *Cache) NewLane(waited func() time.Duration) *Lane {
	return &Lane{cache: c, waited: waited, windowed: make(map[*entry]struct{})}
}

// Get is [Cache.Get] for a file that is kept only if it is asked for again. A lack of room is no
// error; the producer may fail with [ErrTooSlow].
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
	return l.begin(name, again, produce), nil
}

// GetNew is [Cache.GetNew] for a file of the lane. The file is kept.
func (l *Lane) GetNew(key string, produce func(ctx context.Context, w io.Writer) error) (*Reader, error) {
	c, name := l.cache, fileName(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if c.entries[name] != nil {
		return nil, nil
	}
	return l.begin(name, true, produce), nil
}

// begin starts a producer; c.mu is held.
func (l *Lane) begin(name string, keep bool, produce func(ctx context.Context, w io.Writer) error) *Reader {
	p := &transient{lane: l, keep: keep, readers: make(map[*Reader]struct{}), advanced: make(chan struct{}, 1)}
	return l.cache.start(&entry{name: name, transient: p}, produce)
}

// Kept returns how many files of the lane were kept, since somebody asked for them again or in
// order to be there for others.
func (l *Lane) Kept() uint64 {
	l.cache.mu.Lock()
	defer l.cache.mu.Unlock()
	return l.kept
}

// transient is the content of an entry of a lane, until it is kept and its first readers have
// closed: in memory, in a file or in a window.
type transient struct {
	lane     *Lane
	advanced chan struct{} // has an element when a reader has advanced
	windowed bool          // there is a window; only the producer uses this field

	// The cache's mutex guards these, and the offsets of the readers.
	keep    bool // somebody has asked for the file again
	kept    bool // the file is in the cache
	readers map[*Reader]struct{}
	pace    pace // of the readers of the window

	mu     sync.RWMutex // guards all below; only the producer changes them
	base   int64        // offset of the first byte in memory
	memory []byte
	file   *os.File // nil while the content is in memory or in a window
}

// pace measures how fast readers are while a producer waits for them.
type pace struct {
	from    int64         // the offset of the slowest reader at the beginning
	waited  time.Duration // how long the producer has waited before
	waiting time.Time     // since when it waits now; zero if it does not
}

// ReadAt reads from memory or from the file.
func (p *transient) ReadAt(b []byte, offset int64) (n int, err error) {
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

// add appends to memory as much as the window has room for, and returns how many bytes.
func (p *transient) add(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(b), window-len(p.memory))
	p.memory = append(p.memory, b[:n]...)
	return n
}

// spill moves the content from memory to a file.
func (p *transient) spill(file *os.File) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := file.WriteAt(p.memory, 0); err != nil {
		return err
	}
	p.file, p.memory = file, nil
	return nil
}

// moveWindow drops all content before an offset.
func (p *transient) moveWindow(to int64) {
	p.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.base, p.memory = to, p.memory[:0]
}

// close closes the file, if there is one.
func (p *transient) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		p.file.Close()
		p.file = nil
	}
}

// slowest returns the smallest offset of the readers, or size if there is none; the cache's mutex
// is held.
func (p *transient) slowest(size int64) int64 {
	for r := range p.readers {
		size = min(size, r.offset)
	}
	return size
}

// speed returns how fast the slowest reader was while the producer waited, in bytes a second. Readers
// for which it has not waited long count as fast enough. The cache's mutex is held.
func (p *transient) speed(size int64, now time.Time) float64 {
	waited := p.pace.waited
	if !p.pace.waiting.IsZero() {
		waited += now.Sub(p.pace.waiting)
	}
	if waited < patience {
		return fastEnough
	}
	return float64(p.slowest(size)-p.pace.from) / waited.Seconds()
}

// giveUp reports whether the lane gives up an entry now, because it is the slowest in a window; the
// cache's mutex is held.
func (l *Lane) giveUp(e *entry, now time.Time) bool {
	if now.Sub(l.gaveUp) < lookEvery {
		return false
	}
	speed := e.transient.speed(e.size, now)
	if speed >= fastEnough {
		return false
	}
	for other := range l.windowed {
		if other.transient.speed(other.size, now) < speed {
			return false
		}
	}
	l.gaveUp = now
	return true
}

// transientWriter is the writer of a producer of a lane.
type transientWriter struct {
	ctx   context.Context // of the producer
	cache *Cache
	entry *entry
}

// Write appends to the file and lets readers see what is there.
func (w *transientWriter) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = w.put(b[n:])
		n += m
	}
	return n, err
}

// put writes a part of b, to where there is room, and returns how many bytes.
func (w *transientWriter) put(b []byte) (n int, err error) {
	p := w.entry.transient
	switch {
	case p.windowed:
		if len(p.memory) == window {
			if err = w.awaitReaders(); err != nil {
				return 0, err
			}
			p.moveWindow(w.entry.size)
		}
		n = p.add(b)
		w.grow(n, 0)
		return n, nil
	case p.file == nil && len(p.memory)+len(b) <= window:
		n = p.add(b)
		w.grow(n, 0)
		return n, nil
	}
	n, err = w.store(b)
	if errors.Is(err, ErrNoSpace) {
		err = w.hold()
	}
	return n, err
}

// grow lets readers see n more bytes, and counts the stored ones as disk space.
func (w *transientWriter) grow(n int, stored int64) {
	c, e := w.cache, w.entry
	c.count(e, stored)
	c.mu.Lock()
	defer c.mu.Unlock()
	e.size += int64(n)
	c.wake(e)
}

// store writes to the file. If there is no room, the error is ErrNoSpace.
func (w *transientWriter) store(b []byte) (n int, err error) {
	c, e := w.cache, w.entry
	if !c.hasRoom() {
		return 0, ErrNoSpace
	}
	if e.transient.file == nil {
		if err = c.spill(e); err == nil {
			c.count(e, e.size)
		}
	}
	if err == nil {
		n, err = e.transient.file.WriteAt(b, e.size)
		w.grow(n, int64(n))
	}
	if err == nil {
		return n, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return n, c.explain(err)
}

// hold goes on in a window, as soon as all readers have read what was written.
func (w *transientWriter) hold() error {
	c, e := w.cache, w.entry
	p := e.transient
	p.windowed = true
	c.mu.Lock()
	c.forgetName(e) // a new reader would not find the beginning
	p.lane.windowed[e] = struct{}{}
	p.pace.from = p.slowest(e.size)
	c.mu.Unlock()
	if err := w.awaitReaders(); err != nil {
		return err
	}
	p.moveWindow(e.size)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(e)
	return nil
}

// awaitReaders waits until all readers have read what was written. If the lane gives up the entry,
// the error is ErrTooSlow.
func (w *transientWriter) awaitReaders() error {
	c, p := w.cache, w.entry.transient
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
		if w.isAllRead() {
			return nil
		}
		select {
		case <-p.advanced:
		case <-look.C:
			if w.isGivenUp() {
				return ErrTooSlow
			}
		case <-w.ctx.Done():
		}
	}
}

// isAllRead reports whether all readers have read what was written.
func (w *transientWriter) isAllRead() bool {
	w.cache.mu.Lock()
	defer w.cache.mu.Unlock()
	return w.entry.transient.slowest(w.entry.size) == w.entry.size
}

// isGivenUp reports whether the producer must end, because others wait for its place.
func (w *transientWriter) isGivenUp() bool {
	lane := w.entry.transient.lane
	if lane.waited() < patience {
		return false
	}
	w.cache.mu.Lock()
	defer w.cache.mu.Unlock()
	return lane.giveUp(w.entry, time.Now())
}

// advance moves the offset of a reader, and tells the producer, which may wait for that.
func (r *Reader) advance(n int) {
	p := r.entry.transient
	if p == nil {
		r.offset += int64(n)
		return
	}
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.offset += int64(n)
	p.wakeProducer()
}

// wakeProducer makes a waiting producer look at the offsets of its readers.
func (p *transient) wakeProducer() {
	select {
	case p.advanced <- struct{}{}:
	default:
	}
}
