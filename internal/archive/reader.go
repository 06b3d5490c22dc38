package archive

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/spool"
)

// Reader reads an archive that is kept, finished or growing. It must be closed.
type Reader struct {
	*spool.Reader
	cache  *Cache
	mirror *mirror.Mirror
	key    string
	id     sumID
}

// find opens the file if it is finished; else it returns nil.
func (r *Reader) find() *Reader {
	r.cache.sums.watch(r, func() { r.Reader = r.cache.cache.Find(r.key) })
	if r.Reader == nil {
		return nil
	}
	return r
}

// Known returns the digest of a file that was made since the server started, if it is known, without
// a look at the file.
func (r *Reader) Known() (digest Digest, known bool) {
	s := r.cache.sums.of(r.id)
	if s == nil {
		return digest, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.digest, s.known && s.made
}

// soon is the size in bytes of an archive whose digest is there in a moment.
const soon = 256 << 20

// Digest returns the digest of a finished archive, and whether it is known. If it is not, it is
// computed; for a large archive only if the caller is patient, and else in the background, where Run
// does it. The error is spool.ErrChanged, limiter.ErrBusy, the cause of ctx's end, or that of reading.
func (r *Reader) Digest(ctx context.Context, patient bool) (digest Digest, known bool, err error) {
	f, err := r.Open()
	if err != nil {
		return digest, false, err
	}
	now, err := stampOfFile(f)
	if err != nil {
		return digest, false, err
	}
	s := r.cache.sums.add(r.id)
	if digest, known := s.believe(now); known {
		return digest, true, nil
	}
	if now.size > soon && !patient {
		r.cache.hashLater(r)
		return digest, false, nil
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	select {
	case s.hurry <- struct{}{}:
	default:
	}
	return r.computeOnce(ctx, f, s, nil)
}

// computeOnce computes the digest of a file, unless somebody else has just done it. pause is called
// again and again meanwhile; nil for who is in a hurry.
func (r *Reader) computeOnce(
	ctx context.Context, f *os.File, s *sum, pause func(context.Context),
) (digest Digest, known bool, err error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return digest, false, context.Cause(ctx)
	}
	now, err := stampOfFile(f)
	if err != nil {
		return digest, false, err
	}
	if digest, known := s.believe(now); known {
		return digest, true, nil
	}
	if pause == nil && now.size > hashedAlong {
		if err := r.cache.hashing.Acquire(ctx, r.mirror.Name.String()); err != nil {
			return digest, false, err
		}
		defer r.cache.hashing.Release()
	}
	return r.compute(&lastingReader{ctx, f, pause}, f, s)
}

// believe returns the digest if it is that of a file with this stamp.
func (s *sum) believe(now stamp) (Digest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.digest, s.known && s.fits(now)
}

// attempts is how often a file is read whose stamp is another one each time that it was read.
const attempts = 3

// compute computes the digest of a file, and notes it.
func (r *Reader) compute(content io.ReaderAt, f *os.File, s *sum) (digest Digest, known bool, err error) {
	for range attempts {
		before, err := stampOfFile(f)
		if err != nil {
			return digest, false, err
		}
		s.begin(before)
		hash := sha256.New()
		if _, err := io.Copy(hash, io.NewSectionReader(content, 0, before.size)); err != nil {
			return digest, false, fmt.Errorf("can't compute the digest of an archive: %w", err)
		}
		after, err := stampOfFile(f)
		if err != nil {
			return digest, false, err
		}
		digest = Digest(hash.Sum(nil))
		switch s.end(digest, after) {
		case taken:
			return digest, true, nil
		case refused:
			r.discard(f, after.inode)
			return Digest{}, false, spool.ErrChanged
		}
	}
	return Digest{}, false, nil
}

// discard removes a file that is not what it was, and has the cache forget it: that learns it when it
// wants to open the file.
func (r *Reader) discard(f *os.File, inode uint64) {
	for _, path := range []string{r.cache.cache.Path(r.key), f.Name()} { // it may be about to get its name
		if stampAt(path).inode == inode {
			_ = os.Remove(path)
		}
	}
	for {
		other := r.cache.cache.Find(r.key)
		if other == nil {
			return
		}
		defer other.Close()
		f, err := other.Open()
		if err != nil {
			return
		}
		if now, err := stampOfFile(f); err != nil || now.inode != inode {
			return
		}
	}
}

// lastingReader reads until a context ends.
type lastingReader struct {
	ctx   context.Context
	file  io.ReaderAt
	pause func(context.Context) // may be nil
}

func (l *lastingReader) ReadAt(p []byte, offset int64) (int, error) {
	if l.pause != nil {
		l.pause(l.ctx)
	}
	if l.ctx.Err() != nil {
		return 0, context.Cause(l.ctx)
	}
	return l.file.ReadAt(p, offset)
}

// Close ends the reading. If the archive is finished and its digest is not known, Run computes it.
func (r *Reader) Close() error {
	if s := r.cache.sums.of(r.id); s != nil && s.isAwaited() && r.Finished() {
		r.cache.hashLater(r)
	}
	return r.Reader.Close()
}

// isAwaited reports whether the digest of what was made is not known yet.
func (s *sum) isAwaited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made && !s.known
}

// hashLater has Run compute the digest of an archive, if there is room for it in the queue.
func (c *Cache) hashLater(r *Reader) {
	select {
	case c.sums.later <- &Reader{cache: c, mirror: r.mirror, key: r.key, id: r.id}:
	default:
	}
}

// Run computes digests that nobody waits for, when nothing is to be made, until ctx ends.
func (c *Cache) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-c.sums.later:
			c.hashIdle(ctx, job)
		}
	}
}

func (c *Cache) hashIdle(ctx context.Context, job *Reader) {
	if job.find() == nil {
		return
	}
	defer job.Reader.Close()
	f, err := job.Open()
	if err != nil {
		return // whoever wants to know it tries it again, and is told
	}
	s := c.sums.add(job.id)
	_, _, _ = job.computeOnce(ctx, f, s, func(ctx context.Context) { c.awaitRest(ctx, s) })
}

// awaitRest waits until no archive is being made for a client, or somebody waits for a digest.
func (c *Cache) awaitRest(ctx context.Context, s *sum) {
	for c.making.Load() > 0 && s.waiting.Load() == 0 && ctx.Err() == nil {
		select {
		case <-c.rest:
		case <-s.hurry:
		case <-ctx.Done():
		}
	}
}
