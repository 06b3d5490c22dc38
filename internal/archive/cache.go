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

// Options are what a cache reads of the configuration.
type Options struct {
	MaxArchives int           // that are made at once
	Limit       int64         // bytes of one archive, as a tar
	Timeout     time.Duration // for one to be made
	Retry       time.Duration // after a failure, before it is tried again
}

// Cache makes archives, each once, and keeps them. Its methods are safe for concurrent use.
type Cache struct {
	options atomic.Pointer[Options]
	neutral git.Neutral
	cache   *spool.Cache
	direct  *spool.Lane     // of the cache, for archives that are not kept
	serial  atomic.Uint64   // of those
	places  limiter.Limiter // for archives that are made at once

	mu     sync.Mutex         // guards failed
	failed map[string]failure // by key
}

// failure is why an archive could not be made, and until when it is not tried
// again: making it may have taken minutes, or all memory.
type failure struct {
	err   error
	until time.Time
}

// maxFailed bounds what is remembered of failures.
const maxFailed = 1024

// NewCache keeps archives in a cache, which is closed by its owner, and before that ends the
// making of archives. They are made through neutral repositories.
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

// key tells a mirror's archives from those of others: what one mirror has, another
// of the same name that took its place may not have.
func (c *Cache) key(m *mirror.Mirror, a Archive) string {
	return strings.Join([]string{m.Name.String(), m.Identity(), a.words()}, "\x00")
}

// Find returns an archive that is finished, or nil. It must be closed.
func (c *Cache) Find(m *mirror.Mirror, a Archive) *spool.Reader { return c.cache.Find(c.key(m, a)) }

// Get returns an archive, finished or growing. If it is not there, it is made. It
// must be closed. If there is no room for it on disk, the error is
// spool.ErrNoSpace, also that of reading; Direct does without.
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

// makeIdle makes an archive that nobody waits for yet, when nothing else is to be
// made.
func (c *Cache) makeIdle(ctx context.Context, m *mirror.Mirror, a Archive) error {
	if err := c.places.AcquireIdle(ctx); err != nil {
		return err
	}
	defer c.places.Release()
	key := c.key(m, a)
	// A client's producer needs a place of its own: nobody waits for it in this one.
	r, err := c.cache.GetNew(key, func(ctx context.Context, w io.Writer) error {
		return c.record(ctx, key, c.produce(ctx, m, a, true, w))
	})
	if r == nil || err != nil {
		return err
	}
	defer r.Close()
	return r.Wait(ctx)
}

// Direct makes an archive for one client alone, as far ahead of it as there is room. If others
// wait meanwhile, the slowest client is given up: the error of reading is spool.ErrTooSlow
// then.
func (c *Cache) Direct(m *mirror.Mirror, a Archive) (*spool.Reader, error) {
	key := strings.Join([]string{"direct", strconv.FormatUint(c.serial.Add(1), 10), c.key(m, a)}, "\x00")
	return c.direct.Get(key, func(ctx context.Context, w io.Writer) error {
		if err := c.places.Acquire(ctx, m.Name.String()); err != nil {
			return err
		}
		defer c.places.Release()
		return c.produce(ctx, m, a, false, w)
	})
}

// produce makes an archive, within the limits of one.
func (c *Cache) produce(ctx context.Context, m *mirror.Mirror, a Archive, patient bool, w io.Writer) error {
	opts := c.options.Load()
	reason := fmt.Errorf("it was not finished within %s", opts.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, opts.Timeout, reason)
	defer cancel()
	err := a.Format.encode(w, func(w io.Writer) error {
		return m.Archive(ctx, c.neutral, git.Archive{
			Commit: a.Commit, Path: a.Path, Prefix: a.Prefix, Subst: a.Subst != "", Patient: patient,
		}, &boundedWriter{w: w, left: opts.Limit, limit: opts.Limit})
	})
	if err != nil {
		m.Suspect(err)
	}
	return err
}

// boundedWriter fails when more is written than it may be.
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

// record remembers a failure that would come again. That all clients have gone away, or
// the server is about to, says nothing about the archive: ctx has ended then.
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

// failure returns why an archive could not be made a moment ago, or nil.
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
