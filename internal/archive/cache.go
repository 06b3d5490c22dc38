package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/units"
)

// Options are the part of the configuration that this package reads.
type Options struct {
	MaxArchives int           // how many are made at the same time
	Limit       int64         // bytes of one archive, as a tar
	Timeout     time.Duration // the whole time for making one
	Retry       time.Duration // how long a failure is remembered
}

// Cache makes each archive once, and keeps it. Its methods are safe for concurrent use.
type Cache struct {
	options atomic.Pointer[Options]
	neutral git.Neutral
	cache   *spool.Cache
	direct  *spool.Lane     // of the cache, for archives that are not kept
	lastID  atomic.Uint64   // of an archive that is not kept
	places  limiter.Limiter // for making archives

	mu     sync.Mutex         // guards failed
	failed map[string]failure // by key
}

// failure is the error of an archive that could not be made. It is not tried again before until:
// the failure may have taken minutes, or all memory.
type failure struct {
	err   error
	until time.Time
}

// maxFailed is how many failures are remembered.
const maxFailed = 1024

// NewCache returns a cache that keeps its archives in a spool, and makes them through neutral
// repositories. The caller closes the spool, which ends the making of archives.
func NewCache(cache *spool.Cache, neutral git.Neutral, options *Options) *Cache {
	c := &Cache{neutral: neutral, cache: cache, failed: make(map[string]failure)}
	c.direct = cache.NewLane(c.places.Waited)
	c.Configure(options)
	return c
}

// Configure puts options in force.
func (c *Cache) Configure(options *Options) {
	c.places.Resize(options.MaxArchives)
	c.options.Store(options)
}

// key is the key of a mirror's archive in the spool. It has the mirror's identity, since another
// mirror that takes the place of this one may lack the commit.
func (c *Cache) key(m *mirror.Mirror, a Archive) string {
	return strings.Join([]string{m.Name.String(), m.Identity(), a.key()}, "\x00")
}

// Find returns a finished archive, or nil. The caller must close it.
func (c *Cache) Find(m *mirror.Mirror, a Archive) *spool.Reader { return c.cache.Find(c.key(m, a)) }

// Get returns an archive, finished or growing, and makes it if there is none. The caller must close
// it. If there is no room on the disk, the error, here or of reading, is spool.ErrNoSpace; then
// Direct can be used.
func (c *Cache) Get(m *mirror.Mirror, a Archive) (*spool.Reader, error) {
	key := c.key(m, a)
	if err := c.failure(key); err != nil {
		return nil, err
	}
	return c.cache.Get(key, func(ctx context.Context, w io.Writer) error {
		if err := c.places.Acquire(ctx, m.Name.String()); err != nil {
			return err
		}
		defer c.places.Release()
		return c.record(ctx, key, c.produce(ctx, m, a, false, w))
	})
}

// makeIdle makes an archive that nobody waits for yet, as soon as no client waits for another one.
func (c *Cache) makeIdle(ctx context.Context, m *mirror.Mirror, a Archive) error {
	if err := c.places.AcquireIdle(ctx); err != nil {
		return err
	}
	defer c.places.Release()
	key := c.key(m, a)
	// If a client's producer has begun the archive, makeIdle must not wait for it: that producer
	// may wait for the place that is held here.
	r, err := c.cache.GetNew(key, func(ctx context.Context, w io.Writer) error {
		return c.record(ctx, key, c.produce(ctx, m, a, true, w))
	})
	if r == nil || err != nil {
		return err
	}
	defer r.Close()
	return r.Wait(ctx)
}

// Direct makes an archive for one client alone, as far ahead of the client as there is room. If
// others wait meanwhile, the slowest client is given up: its reader's error is spool.ErrTooSlow.
func (c *Cache) Direct(m *mirror.Mirror, a Archive) (*spool.Reader, error) {
	key := strings.Join([]string{"direct", strconv.FormatUint(c.lastID.Add(1), 10), c.key(m, a)}, "\x00")
	return c.direct.Get(key, func(ctx context.Context, w io.Writer) error {
		if err := c.places.Acquire(ctx, m.Name.String()); err != nil {
			return err
		}
		defer c.places.Release()
		return c.produce(ctx, m, a, false, w)
	})
}

// produce makes an archive, within the limits of bytes and time.
func (c *Cache) produce(ctx context.Context, m *mirror.Mirror, a Archive, patient bool, w io.Writer) error {
	opts := c.options.Load()
	reason := fmt.Errorf("it was not finished within %s", opts.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, opts.Timeout, reason)
	defer cancel()
	err := a.Format.encode(w, func(w io.Writer) error {
		return m.Archive(ctx, c.neutral, git.Archive{
			Commit: a.Commit, Paths: a.Paths.List(), Prefix: a.Prefix, Subst: a.Subst != "", LowPriority: patient,
		}, &boundedWriter{w: w, left: opts.Limit, limit: opts.Limit})
	})
	if err != nil {
		m.Suspect(err)
	}
	return err
}

// boundedWriter fails when more than limit bytes are written.
type boundedWriter struct {
	w           io.Writer
	left, limit int64
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, fmt.Errorf("it is larger than %s (archive_limit)", units.FormatSize(b.limit))
	}
	return b.w.Write(p)
}

// record remembers a failure, and returns it. If ctx has ended, all clients have gone away or the
// server stops: that says nothing about the archive, and is not remembered.
func (c *Cache) record(ctx context.Context, key string, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, spool.ErrNoSpace) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failed) >= maxFailed {
		clear(c.failed)
	}
	c.failed[key] = failure{err, time.Now().Add(c.options.Load().Retry)}
	return err
}

// failure returns the remembered error of an archive, or nil.
func (c *Cache) failure(key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.failed[key]
	if ok && !time.Now().Before(f.until) {
		delete(c.failed, key)
		return nil
	}
	return f.err
}
