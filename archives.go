package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// archive is all that decides about an archive's bytes.
type archive struct {
	commit string // a full id
	format *format
	path   string // only this file or directory; empty for all
	prefix string // put before every path; ends with a slash, or is empty
	subst  string // what $Format:…$ can depend on beside the commit; empty if it is not expanded
}

// words are what decides, in a form in which no two archives are alike.
func (a archive) words() string {
	return strings.Join([]string{encoding, a.commit, a.format.name, a.path, a.prefix, a.subst}, "\x00")
}

// etag is the same for the same bytes, on every server. It is weak where the bytes
// depend on more than can be told.
func (a archive) etag() string {
	weak, digest := "", ""
	if a.subst != "" {
		weak = "W/"
	}
	if a.subst != "" || a.path != "" || a.prefix != "" {
		digest = "-" + shortDigest(a.words())
	}
	return weak + `"` + a.commit + "." + a.format.name + "-" + encoding + digest + `"`
}

func shortDigest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// Archives makes archives, each once, and keeps them.
type Archives struct {
	suspect func(set *settings, m *Mirror, err error) // told of every failure
	neutral git.Neutral
	cache   *spool.Cache
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

// NewArchives opens the cache of a storage.
func NewArchives(dir *storage.Dir, cacheSize int64) (*Archives, error) {
	cache, err := spool.Open(dir.Own("cache"), cacheSize)
	if err != nil {
		return nil, err
	}
	return &Archives{
		suspect: func(*settings, *Mirror, error) {},
		neutral: dir.Neutral, cache: cache, failed: make(map[string]failure),
	}, nil
}

// use puts settings in force.
func (as *Archives) use(set *settings) {
	as.places.Resize(set.MaxArchives)
	as.cache.Resize(set.CacheSize)
}

// Close ends the making of archives.
func (as *Archives) Close() error { return as.cache.Close() }

// key tells a mirror's archives from those of others: what one mirror has, another
// of the same name that took its place may not have.
func (as *Archives) key(m *Mirror, a archive) string {
	return strings.Join([]string{m.Name.String(), m.identity.String(), a.words()}, "\x00")
}

// Find returns an archive that is finished, or nil. It must be closed.
func (as *Archives) Find(m *Mirror, a archive) *spool.Reader { return as.cache.Find(as.key(m, a)) }

// Get returns an archive, finished or growing. If it is not there, it is made. It
// must be closed. If there is no room for it on disk, the error is
// spool.ErrNoSpace, also that of reading; Direct does without.
func (as *Archives) Get(set *settings, m *Mirror, a archive) (*spool.Reader, error) {
	key := as.key(m, a)
	if err := as.failure(key); err != nil {
		return nil, err
	}
	return as.cache.Get(key, func(ctx context.Context, w io.Writer) error {
		if err := as.places.Acquire(ctx, m.Name.String()); err != nil {
			return err
		}
		defer as.places.Release()
		return as.note(ctx, key, set, as.produce(ctx, set, m, a, false, w))
	})
}

// Ahead makes an archive that nobody waits for yet, when nothing else is to be
// made.
func (as *Archives) Ahead(ctx context.Context, set *settings, m *Mirror, a archive) error {
	if err := as.places.AcquireIdle(ctx); err != nil {
		return err
	}
	defer as.places.Release()
	key := as.key(m, a)
	// A client's producer needs a place of its own: nobody waits for it in this one.
	r, err := as.cache.GetNew(key, func(ctx context.Context, w io.Writer) error {
		return as.note(ctx, key, set, as.produce(ctx, set, m, a, true, w))
	})
	if r == nil || err != nil {
		return err
	}
	defer r.Close()
	return r.Wait(ctx)
}

// Direct makes an archive for one client alone.
func (as *Archives) Direct(ctx context.Context, set *settings, m *Mirror, a archive, w io.Writer) error {
	if err := as.places.Acquire(ctx, m.Name.String()); err != nil {
		return err
	}
	defer as.places.Release()
	return as.produce(ctx, set, m, a, false, w)
}

// produce makes an archive, within the limits of one.
func (as *Archives) produce(ctx context.Context, set *settings, m *Mirror, a archive, patient bool, w io.Writer) error {
	reason := fmt.Errorf("it was not finished within %s", set.ArchiveTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, set.ArchiveTimeout, reason)
	defer cancel()
	err := a.format.encode(w, func(w io.Writer) error {
		return set.git.Repo(m.Dir).Tar(ctx, as.neutral, git.Archive{
			Commit: a.commit, Path: a.path, Prefix: a.prefix, Subst: a.subst != "", Patient: patient,
		}, &boundedWriter{w: w, left: set.ArchiveLimit, limit: set.ArchiveLimit})
	})
	if err != nil {
		as.suspect(set, m, err)
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

// note remembers a failure that would come again. That all clients have gone away, or
// the server is about to, says nothing about the archive: ctx has ended then.
func (as *Archives) note(ctx context.Context, key string, set *settings, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, spool.ErrNoSpace) {
		return err
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if len(as.failed) >= maxFailed {
		clear(as.failed)
	}
	as.failed[key] = failure{err, time.Now().Add(set.Retry)}
	return err
}

// failure returns why an archive could not be made a moment ago, or nil.
func (as *Archives) failure(key string) error {
	as.mu.Lock()
	defer as.mu.Unlock()
	f, ok := as.failed[key]
	if ok && !time.Now().Before(f.until) {
		delete(as.failed, key)
		return nil
	}
	return f.err
}
