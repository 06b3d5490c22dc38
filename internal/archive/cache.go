package archive

import (
	"context"
	"crypto/sha256"
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
	"github.com/reconquest/sould/internal/tally"
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
	making  atomic.Int64    // archives that are being made for clients
	rest    chan struct{}   // has an element when the last of them is made
	hashing limiter.Limiter // for computing digests that clients wait for
	sums    *sums
	counts  counts

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
	c := &Cache{neutral: neutral, cache: cache, failed: make(map[string]failure), sums: newSums(), rest: make(chan struct{}, 1)}
	c.direct = cache.NewLane(c.places.Waited)
	c.Configure(options)
	return c
}

// Configure puts options in force.
func (c *Cache) Configure(options *Options) {
	c.places.Resize(options.MaxArchives)
	c.hashing.Resize(options.MaxArchives)
	c.options.Store(options)
}

// key is the key of a mirror's archive in the spool. It has the mirror's identity, since another
// mirror that takes the place of this one may lack the commit.
func (c *Cache) key(m *mirror.Mirror, a Archive) string {
	return strings.Join([]string{m.Name.String(), m.Identity(), a.key()}, "\x00")
}

// reader returns a Reader of an archive that is not open yet.
func (c *Cache) reader(m *mirror.Mirror, a Archive) *Reader { return c.readerOf(m, c.key(m, a)) }

// readerOf returns a Reader of the file of a key that is not open yet.
func (c *Cache) readerOf(m *mirror.Mirror, key string) *Reader {
	return &Reader{cache: c, mirror: m, key: key, id: sha256.Sum256([]byte(key))}
}

// Has reports whether an archive is finished.
func (c *Cache) Has(m *mirror.Mirror, a Archive) bool {
	found := c.find(m, a)
	if found != nil {
		found.Close()
	}
	return found != nil
}

// Find returns an archive that is finished, or nil. It must be closed.
func (c *Cache) Find(m *mirror.Mirror, a Archive) *Reader {
	found := c.find(m, a)
	if found != nil {
		c.counts.hits.Add(1)
	}
	return found
}

func (c *Cache) find(m *mirror.Mirror, a Archive) *Reader { return c.reader(m, a).find() }

// Digest returns the digest of an archive that was made since the server started, if it is known,
// without a look at its file. A strong ETag stands for the same bytes wherever they are.
func (c *Cache) Digest(m *mirror.Mirror, a Archive) (digest Digest, known bool) {
	return c.reader(m, a).Known()
}

// Get returns an archive, finished or growing. If it is not there, it is made; whole says that
// nothing of it is wanted before all of it is there. It must be closed. If there is no room for it
// on disk, the error is spool.ErrNoSpace, also that of reading; Direct does without.
func (c *Cache) Get(m *mirror.Mirror, a Archive, whole bool) (*Reader, error) {
	r := c.reader(m, a)
	if err := c.failure(r.key); err != nil {
		return nil, err
	}
	limit := int64(hashedAlong)
	if whole {
		limit = -1
	}
	var err error
	c.sums.watch(r, func() {
		r.Reader, err = c.cache.Get(r.key, func(ctx context.Context, w io.Writer) error {
			if err := c.places.Acquire(ctx, m.Name.String()); err != nil {
				return err
			}
			defer c.places.Release()
			c.making.Add(1)
			defer c.made()
			return c.make(ctx, r, a, false, newHashingWriter(w, limit))
		})
	})
	if err != nil {
		return nil, err
	}
	c.counts.asked(r.IsFirst())
	return r, nil
}

// makeIdle makes an archive that nobody waits for yet, as soon as no client waits for another one.
func (c *Cache) makeIdle(ctx context.Context, m *mirror.Mirror, a Archive) error {
	if err := c.places.AcquireIdle(ctx); err != nil {
		return err
	}
	defer c.places.Release()
	r := c.reader(m, a)
	var err error
	c.sums.watch(r, func() {
		// If a client's producer has begun the archive, makeIdle must not wait for it: that producer
		// may wait for the place that is held here.
		r.Reader, err = c.cache.GetNew(r.key, func(ctx context.Context, w io.Writer) error {
			return c.make(ctx, r, a, true, newHashingWriter(w, -1))
		})
	})
	if r.Reader == nil || err != nil {
		return err
	}
	defer r.Close()
	if err = r.Wait(ctx); err == nil {
		c.counts.ahead.Add(1)
	}
	return err
}

// made records that an archive is no longer being made.
func (c *Cache) made() {
	if c.making.Add(-1) > 0 {
		return
	}
	select {
	case c.rest <- struct{}{}:
	default:
	}
}

// make makes an archive that is kept, and records the result.
func (c *Cache) make(ctx context.Context, r *Reader, a Archive, patient bool, w *hashingWriter) error {
	err := c.produce(ctx, r.mirror, a, patient, w)
	if err == nil {
		c.sums.made(r.id, w)
	}
	return c.record(ctx, r.key, err)
}

// Direct makes an archive for one client alone, as far ahead of the client as there is room. If
// others wait meanwhile, the slowest client is given up: its reader's error is spool.ErrTooSlow.
func (c *Cache) Direct(m *mirror.Mirror, a Archive) (*spool.Reader, error) {
	key := strings.Join([]string{"direct", strconv.FormatUint(c.lastID.Add(1), 10), c.key(m, a)}, "\x00")
	c.counts.asked(true)
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
	reason := fmt.Errorf("it was not finished within %s", units.FormatDuration(opts.Timeout))
	ctx, cancel := context.WithTimeoutCause(ctx, opts.Timeout, reason)
	defer cancel()
	began := time.Now()
	counted := &tally.Writer{Writer: w}
	err := a.Format.encode(counted, func(w io.Writer) error {
		return m.Archive(ctx, c.neutral, git.Archive{
			Commit: a.Commit, Paths: a.Paths.List(), Prefix: a.Prefix, Subst: a.Subst != "", LowPriority: patient,
		}, &boundedWriter{w: w, left: opts.Limit, limit: opts.Limit})
	})
	if err != nil {
		m.Suspect(err)
	}
	c.counts.made(ctx, counted.N, time.Since(began), err)
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
