// Package spool keeps the output of slow producers in files, so that each output
// is made once, however many want it, and how slow or fast they read.
//
// A producer writes a stream: an archive, a report, a rendered page. Its first
// bytes are wanted at once, by several readers of different speed, and its
// output is wanted again later. A spool puts a file between them:
//
//	                 ┌──────────────── file ────────────────┐
//	producer ──────▶ │██████████████████████░░░░░░░░░░░░░░░░│
//	                 └──────┬───────┬──────┬────────────────┘
//	                        ▼       ▼      ▼
//	                     reader  reader  reader      each at its own place
//
// The producer never waits for a reader, and no reader for another one: all they
// share is how far the file has grown. When the producer is done, the file stays
// in the cache, and further readers open it as an ordinary file, which the kernel
// can send by itself.
//
// # What readers can rely on
//
// The end of a stream is the end of what the producer made, or an error. A
// producer that fails makes every reader fail, after the bytes that there were;
// what it wrote is not kept. Nobody ever sees the end of a part as if it were the
// end of the whole.
//
// # Who keeps a producer going
//
// Its readers do. When the last one has gone, the producer's context ends, and
// what it wrote is removed. Who wants a file made ahead is a reader as well:
// [Cache.GetNew], [Reader.Wait], [Reader.Close].
//
// # What is not kept
//
// What nobody will ask for again goes with its last reader: see [Lane].
//
// # Disk
//
// The cache has a limit in bytes. Files that nobody reads are removed, the least
// recently used first, when the sum of all files, growing ones included, is over
// it. A file that is read is never taken away. Once what is in use exceeds the limit by
// 256 MiB, a producer that has not written yet fails with [ErrNoSpace]: so the limit can
// be exceeded by that and what those write that are at work then, and by no more.
// When the disk is full, idle files are given up first, whatever the limit; if that
// does not help, the producer fails with [ErrNoSpace], and so does, for a while, every
// new one, so that its callers can do without the cache. It is the same on a disk that can
// only be read, as after an error of the disk; but there the idle files stay.
//
// # Restarts
//
// A finished file is synced and then renamed to its name, which is a digest of
// its key. [Open] finds finished files again and removes the others. The order of
// use survives too, in the files' times of modification.
package spool

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Cache is a directory of produced files. It is safe for concurrent use.
type Cache struct {
	dir       string
	create    func(path string) (*os.File, error) // os.CreateTemp but in tests
	producers sync.WaitGroup

	mu        sync.Mutex          // guards all below, and all entries
	entries   map[string]*entry   // by file name; failed ones are not in it
	idle      *list.List          // entries that are settled and not read, the least recently used first
	running   map[*entry]struct{} // those that have a producer
	limit     int64               // bytes
	spare     int64               // by which what is in use may exceed it
	used      int64               // bytes of all files, growing ones included
	open      int                 // files that are open and not read
	fullUntil time.Time           // no new producers before, because the disk was full
	closed    bool
}

// entry is one file. Its fields are guarded by the cache's mutex.
type entry struct {
	name    string
	path    string        // where the file is now
	file    *os.File      // open while the producer writes and for those who follow
	size    int64         // what can be read
	disk    int64         // what counts of it against the limit
	passing *passing      // where it is, if it is not to be kept; else nil
	done    bool          // nothing more comes
	err     error         // why not, if it failed
	changed chan struct{} // closed and replaced when size, done or err change
	stop    context.CancelCauseFunc
	readers int
	settled bool          // synced and renamed, or given up
	idle    *list.Element // its place in the cache's list, if it is there
	open    []*os.File    // that nobody reads at the moment
	used    time.Time
	touched time.Time // the time of use that the file's modification time tells
}

// ErrNoSpace is why a producer failed, or was not begun, when the disk is full or can only
// be read, or too much of the cache is in use.
var ErrNoSpace = errors.New("no space left for a file in the cache")

// ErrClosed is returned when the cache is closed.
var ErrClosed = errors.New("the cache is closed")

// errAbandoned is why a producer's context ends when nobody reads any more.
var errAbandoned = errors.New("nobody reads this any more")

const (
	// unfinished is the end of the name of a file that is being written.
	unfinished = ".part"

	// spare is by how much what is in use may exceed the limit, in bytes. A small cache is no
	// reason to make for each reader what several could share.
	spare = 256 << 20

	// fullFor is how long a full disk is remembered.
	fullFor = 10 * time.Second

	// maxOpen is how many files are kept open for readers to come.
	maxOpen = 64

	// touchEvery is how exactly the order of use survives a restart.
	touchEvery = time.Minute
)

// Open opens a cache in a directory, which is created if need be and must be used
// by nothing else. Finished files are found again, unfinished ones removed, and so
// is what exceeds the limit in bytes.
func Open(dir string, limit int64) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := &Cache{dir: dir, limit: limit, spare: spare, idle: list.New(), create: createTemp}
	c.entries, c.running = make(map[string]*entry), make(map[*entry]struct{})
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []*entry
	for _, file := range files {
		path := filepath.Join(dir, file.Name())
		info, err := file.Info()
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(file.Name(), unfinished) || !info.Mode().IsRegular() {
			if err := os.RemoveAll(path); err != nil {
				return nil, err
			}
			continue
		}
		found = append(found, &entry{
			name: file.Name(), path: path, size: info.Size(), disk: info.Size(), done: true, settled: true,
			used: info.ModTime(), touched: info.ModTime(),
		})
	}
	slices.SortFunc(found, func(a, b *entry) int { return a.used.Compare(b.used) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range found {
		c.entries[e.name] = e
		c.used += e.disk
		c.release(e)
	}
	c.shrink()
	return c, nil
}

// createTemp makes a file of its own for a name: one that was given up may still
// be written to.
func createTemp(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*"+unfinished)
}

// Resize changes the limit.
func (c *Cache) Resize(limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = limit
	c.shrink()
}

// Close stops all producers, waits for them, and lets their readers fail.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	for e := range c.running {
		e.stop(ErrClosed)
	}
	c.mu.Unlock()
	c.producers.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		for _, f := range e.open {
			f.Close()
		}
		e.open = nil
	}
	c.open = 0
	return nil
}

// Find returns a reader of the file of that key if it is finished, or nil.
func (c *Cache) Find(key string) *Reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[fileName(key)]
	if e == nil || !e.done {
		return nil
	}
	return c.read(e)
}

// Get returns a reader of the file of that key. If there is none, neither finished
// nor growing, it is made by produce, which writes to w until it is done or its
// context ends. The reader must be closed.
func (c *Cache) Get(key string, produce func(ctx context.Context, w io.Writer) error) (*Reader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[fileName(key)]; e != nil {
		return c.read(e), nil
	}
	return c.begin(fileName(key), produce)
}

// GetNew is Get for who wants a file to be made, but not one that is there or being made
// already: the reader is nil then.
func (c *Cache) GetNew(key string, produce func(ctx context.Context, w io.Writer) error) (*Reader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[fileName(key)] != nil {
		return nil, nil
	}
	return c.begin(fileName(key), produce)
}

// begin starts a producer; c.mu is held.
func (c *Cache) begin(name string, produce func(ctx context.Context, w io.Writer) error) (*Reader, error) {
	switch {
	case c.closed:
		return nil, ErrClosed
	case time.Now().Before(c.fullUntil):
		return nil, ErrNoSpace
	}
	file, err := c.create(filepath.Join(c.dir, name))
	if isFull(err) || errors.Is(err, syscall.EROFS) {
		c.fullUntil = time.Now().Add(fullFor)
		err = ErrNoSpace
	}
	if err != nil {
		return nil, err
	}
	return c.start(&entry{name: name, path: file.Name(), file: file}, produce), nil
}

// start has an entry produced; c.mu is held.
func (c *Cache) start(e *entry, produce func(ctx context.Context, w io.Writer) error) *Reader {
	ctx, stop := context.WithCancelCause(context.Background())
	e.stop, e.changed = stop, make(chan struct{})
	c.entries[e.name] = e
	c.running[e] = struct{}{}
	r := c.read(e)
	c.producers.Go(func() { c.produce(ctx, e, produce) })
	return r
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// fileName is a key as the name of a file.
func fileName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// read adds a reader; c.mu is held.
func (c *Cache) read(e *entry) *Reader {
	e.readers++
	e.used = time.Now()
	if e.idle != nil {
		c.idle.Remove(e.idle)
		e.idle = nil
	}
	r := &Reader{cache: c, entry: e}
	if e.passing != nil {
		e.passing.readers[r] = struct{}{}
	} else if e.settled && e.err == nil && e.used.Sub(e.touched) >= touchEvery {
		e.touched = e.used
		_ = os.Chtimes(e.path, e.used, e.used) // for the order of use alone
	}
	return r
}

// produce runs a producer to its end.
func (c *Cache) produce(ctx context.Context, e *entry, produce func(context.Context, io.Writer) error) {
	defer e.stop(nil)
	var w io.Writer = &writer{cache: c, entry: e}
	if e.passing != nil {
		w = &passingWriter{ctx: ctx, cache: c, entry: e}
	}
	err := run(ctx, w, produce)
	c.mu.Lock()
	delete(c.running, e)
	if err == nil && e.err == nil && ctx.Err() != nil {
		err = context.Cause(ctx) // it has not noticed, and may have stopped early
	}
	if err == nil {
		err = e.err // of a write that it has ignored
	}
	e.done, e.err = true, err
	if err != nil {
		c.forget(e)
	}
	c.wake(e)
	c.mu.Unlock()

	if err == nil && e.passing == nil {
		err = c.keep(e)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.settled = true
	switch {
	case e.passing != nil:
		delete(e.passing.lane.held, e)
	case err != nil:
		c.forget(e)
		_ = os.Remove(e.path)
	}
	c.release(e)
	c.shrink()
}

// run calls a producer, of which a panic is a failure.
func run(ctx context.Context, w io.Writer, produce func(context.Context, io.Writer) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the producer panicked: %v", v)
		}
	}()
	return produce(ctx, w)
}

// keep makes a complete file durable and gives it its name.
func (c *Cache) keep(e *entry) error {
	if err := e.file.Sync(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	path := filepath.Join(c.dir, e.name)
	if err := os.Rename(e.path, path); err != nil {
		return err
	}
	e.path = path
	return nil
}

// forget takes an entry out of the cache, if it is in it, so that nobody finds it
// any more; c.mu is held. Those who have it keep it.
func (c *Cache) forget(e *entry) {
	c.forgetName(e)
	c.used -= e.disk
	e.disk = 0
}

// forgetName is forget for an entry that still takes room; c.mu is held.
func (c *Cache) forgetName(e *entry) {
	if c.entries[e.name] == e {
		delete(c.entries, e.name)
	}
}

// release lets go of an entry that neither producer nor reader needs; c.mu is
// held. If it is in the cache, it may be evicted from now on.
func (c *Cache) release(e *entry) {
	if !e.settled || e.readers > 0 {
		return
	}
	if e.passing != nil {
		c.forget(e)
		e.passing.close()
		return
	}
	if e.file != nil {
		e.file.Close()
		e.file = nil
	}
	if c.entries[e.name] == e {
		e.idle = c.idle.PushBack(e)
	}
}

// wake tells all who follow an entry that it has changed; c.mu is held.
func (c *Cache) wake(e *entry) {
	close(e.changed)
	e.changed = make(chan struct{})
}

// shrink removes idle files until the limit is kept or none is left; c.mu is held.
func (c *Cache) shrink() {
	for c.used > c.limit && c.evict() {
	}
}

// admit refuses what has not grown yet when what is in use leaves no room for it.
func (c *Cache) admit(e *entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.size == 0 && c.used-c.limit > c.spare { // nothing is idle then
		e.err = ErrNoSpace
	}
	return e.err
}

// evict removes the idle file that was used least recently; c.mu is held.
func (c *Cache) evict() bool {
	oldest := c.idle.Front()
	if oldest == nil {
		return false
	}
	e := c.idle.Remove(oldest).(*entry)
	c.forget(e)
	for _, f := range e.open {
		f.Close()
		c.open--
	}
	e.open = nil
	_ = os.Remove(e.path) // what cannot be removed is found at the next start
	return true
}

// putBack keeps a file open for the next reader, or closes it; c.mu is held. Opening
// a small file takes as long as sending it.
func (c *Cache) putBack(e *entry, f *os.File) {
	if c.entries[e.name] != e || c.open >= maxOpen || c.closed {
		f.Close()
		return
	}
	e.open = append(e.open, f)
	c.open++
}

// writer is where a producer writes to.
type writer struct {
	cache *Cache
	entry *entry
}

// Write appends to the file and lets readers see what is there.
func (w *writer) Write(p []byte) (n int, err error) {
	c, e := w.cache, w.entry
	if err := c.admit(e); err != nil {
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
