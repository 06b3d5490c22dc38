// Package spool keeps the output of slow producers in files, so that each output is made once,
// however many readers there are and however fast they read.
//
// A producer writes a stream, such as an archive. Several readers of different speed want its first
// bytes at once, and other readers want the whole output later. A spool puts a file between them:
//
//	                 ┌──────────────── file ────────────────┐
//	producer ──────▶ │██████████████████████░░░░░░░░░░░░░░░░│
//	                 └──────┬───────┬──────┬────────────────┘
//	                        ▼       ▼      ▼
//	                     reader  reader  reader      each at its own offset
//
// The producer never waits for a reader (except in a [Lane] without room), and no reader waits for
// another one: they share only the size of the file. When the producer has finished, the file
// stays in the cache. Later readers open it as an ordinary file, which the kernel can send by
// itself.
//
// # What readers can rely on
//
// A reader gets all that the producer made, or an error. If the producer fails, every reader gets
// the bytes that were written, and then the error; the file is removed. No reader ever mistakes a
// part for the whole.
//
// # How long a producer runs
//
// A producer runs as long as it has readers. When the last one closes, the producer's context
// ends, and its file is removed. To prefetch a file, be a reader of it: [Cache.GetNew],
// [Reader.Wait], [Reader.Close].
//
// # Keys
//
// A key is any text. The part before its first NUL is the owner of the file, such as the name of
// what the file is made of: [Cache.Purge] removes all files of an owner.
//
// # Files that are asked for once
//
// A file that is likely to be asked for only once is kept only if it is asked for again: see
// [Lane].
//
// # Disk
//
// The cache has a limit in bytes. When the sum of all files, growing ones included, exceeds
// it, files without a reader are removed, the least recently used first. A file with a
// reader is never removed. When the files in use exceed the limit by 256 MiB, a producer
// that has not written yet fails with [ErrNoSpace]. So the cache exceeds its limit by 256 MiB
// at most, and by the output of producers that have begun before.
//
// When the disk is full, files without a reader are removed first, whatever the limit. If
// that does not help, the producer fails with [ErrNoSpace], and for a while so does every
// new one, so that callers can do without the cache. A disk that has become read-only, as
// after a disk error, is treated in the same way, but files are not removed from it.
//
// # Restarts
//
// A finished file is synced and then renamed to a digest of its key. [Open] finds finished files
// again and removes the others. The modification times of the files tell in which order they were
// used.
package spool

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
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
	create    func(path string) (*os.File, error) // createTemp, except in tests
	producers sync.WaitGroup

	mu        sync.Mutex          // guards all below, and all entries
	entries   map[string]*entry   // by file name; without failed ones
	idle      *list.List          // entries without producer and reader, the least recently used first
	running   map[*entry]struct{} // entries with a producer
	limit     int64               // bytes
	spare     int64               // bytes by which the files in use may exceed limit
	used      int64               // bytes of all files, growing ones included
	open      int                 // open files without a reader
	fullUntil time.Time           // no new producers before, because the disk was full
	closed    bool
	evicted   uint64 // idle files that were removed to make room
}

// entry is one file. Its fields are guarded by the cache's mutex.
type entry struct {
	name      string
	path      string        // where the file is now
	file      *os.File      // open while the producer writes, and for readers that follow it
	size      int64         // bytes that can be read
	disk      int64         // bytes that count against the limit
	transient *transient    // the content of an entry that is not kept; else nil
	done      bool          // the producer has ended
	err       error         // the producer's error
	changed   chan struct{} // closed and replaced when size, done or err change
	stop      context.CancelCauseFunc
	readers   int
	ended     bool          // synced and renamed, or given up
	idle      *list.Element // its element in the cache's list of idle entries, or nil
	open      []*os.File    // open files for later readers
	used      time.Time     // when it was last used
	touched   time.Time     // the time of use that the file's modification time shows
}

// ErrClosed is returned when the cache is closed.
var ErrClosed = errors.New("the cache is closed")

// errAbandoned is the cause with which the context of a producer without readers ends.
var errAbandoned = errors.New("nobody reads this any more")

const (
	// unfinished is the suffix of a file that is being written.
	unfinished = ".part"

	// touchEvery is how precisely the order of use survives a restart.
	touchEvery = time.Minute
)

// Open opens a cache in a directory, which it creates if there is none. Nothing else may
// use that directory. Open keeps finished files up to the limit in bytes, and removes
// unfinished ones.
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
			name: file.Name(), path: path, size: info.Size(), disk: info.Size(), done: true, ended: true,
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

// createTemp creates a new file for a name. The name differs each time: a former producer that was
// given up may still write to its own file. If somebody has removed the directory, it is made again,
// but not what it is in: a storage that is not mounted has none.
func createTemp(path string) (*os.File, error) {
	dir, pattern := filepath.Dir(path), filepath.Base(path)+"-*"+unfinished
	f, err := os.CreateTemp(dir, pattern)
	if errors.Is(err, fs.ErrNotExist) && os.Mkdir(dir, 0o700) == nil {
		f, err = os.CreateTemp(dir, pattern)
	}
	return f, err
}

// Resize changes the limit.
func (c *Cache) Resize(limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = limit
	c.shrink()
}

// Close stops all producers and waits for their end. Their readers get an error.
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

// Find returns a reader of the key's file if that is finished, else nil.
func (c *Cache) Find(key string) *Reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[fileName(key)]
	if e == nil || !e.done {
		return nil
	}
	return c.read(e)
}

// Has reports whether the key's file is finished. To ask is no use of it.
func (c *Cache) Has(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[fileName(key)]
	return e != nil && e.done && e.err == nil
}

// Get returns a reader of the key's file. If there is no such file, neither finished
// nor growing, Get starts produce, which writes to w until it has finished or its context
// ends. The caller must close the reader.
func (c *Cache) Get(key string, produce func(ctx context.Context, w io.Writer) error) (*Reader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[fileName(key)]; e != nil {
		return c.read(e), nil
	}
	return c.begin(fileName(key), produce)
}

// GetNew is Get for a caller that only wants a missing file to be made. If the file exists,
// finished or growing, the reader is nil.
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

// start adds an entry and runs its producer; c.mu is held.
func (c *Cache) start(e *entry, produce func(ctx context.Context, w io.Writer) error) *Reader {
	ctx, stop := context.WithCancelCause(context.Background())
	e.stop, e.changed = stop, make(chan struct{})
	c.entries[e.name] = e
	c.running[e] = struct{}{}
	r := c.read(e)
	r.first = true
	c.producers.Go(func() { c.produce(ctx, e, produce) })
	return r
}

// Stats is how full a cache is at a moment.
type Stats struct {
	Limit, Used int64  // bytes; Used counts growing files too
	Files       int    // growing ones included
	Evicted     uint64 // files that were removed to make room, since Open
}

// Stats returns how full the cache is now.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{c.limit, c.used, len(c.entries), c.evicted}
}

// Path is where the file of a key is when it is finished, whether there is one or not.
func (c *Cache) Path(key string) string { return filepath.Join(c.dir, fileName(key)) }

// fileName returns the name of a key's file. The names of an owner's files begin alike.
func fileName(key string) string {
	owner, _, _ := strings.Cut(key, "\x00")
	sum := sha256.Sum256([]byte(key))
	return ownerPrefix(owner) + hex.EncodeToString(sum[:])
}

func ownerPrefix(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return hex.EncodeToString(sum[:8]) + "-"
}

// read adds a reader to an entry; c.mu is held.
func (c *Cache) read(e *entry) *Reader {
	e.readers++
	e.used = time.Now()
	if e.idle != nil {
		c.idle.Remove(e.idle)
		e.idle = nil
	}
	r := &Reader{cache: c, entry: e}
	if e.transient != nil {
		e.transient.readers[r] = struct{}{}
	} else if e.ended && e.err == nil && e.used.Sub(e.touched) >= touchEvery {
		e.touched = e.used
		_ = os.Chtimes(e.path, e.used, e.used) // a failure only affects the order of use
	}
	return r
}
