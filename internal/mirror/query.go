package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
)

// Most questions of readers about commits cost a process. Commits never change, so the answers
// are cached.

// Bounds of a mirror's cache, in answers.
const (
	maxAncestries = 4096
	maxCommits    = 4096
	maxPaths      = 4096
)

// maxQueries is how many git processes answer questions of readers at the same time. Each is
// short.
const maxQueries = 16

// queryCache has answers about a mirror's commits. The zero value is ready for use.
type queryCache struct {
	mu         sync.Mutex         // guards all below
	ancestries map[[2]string]bool // whether a revision contains a commit
	commits    map[string]string  // the commit that an object leads to
	paths      map[pathKey]int    // the index of the first of some paths that a commit lacks; -1 for none
}

// pathKey is a list of paths in a commit. They may be long, so only their digest is kept.
type pathKey struct {
	commit string
	paths  [sha256.Size]byte
}

// query runs ask when the limiter has a place. The error may be limiter.ErrBusy.
func query[T any](ctx context.Context, places *limiter.Limiter, key string, ask func() (T, error)) (T, error) {
	if err := places.Acquire(ctx, key); err != nil {
		var none T
		return none, err
	}
	defer places.Release()
	return ask()
}

// cached returns the answer that memory, a map of m.queries, has for key. Without one it asks,
// and adds the answer. A map that has reached its bound, most, is emptied first.
func cached[K comparable, T any](
	ctx context.Context, m *Mirror, memory *map[K]T, most int, key K, ask func() (T, error),
) (T, error) {
	c := &m.queries
	c.mu.Lock()
	answer, known := (*memory)[key]
	c.mu.Unlock()
	if known {
		return answer, nil
	}
	answer, err := query(ctx, &m.store.queries, m.Name.String(), ask)
	if err != nil {
		return answer, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if *memory == nil || len(*memory) >= most {
		*memory = make(map[K]T)
	}
	(*memory)[key] = answer
	return answer, nil
}

// MissingPath returns the index of the first of these paths that a commit lacks, or -1 if it has all
// of them. The error may be limiter.ErrBusy.
func (m *Mirror) MissingPath(ctx context.Context, commit string, paths []string) (int, error) {
	key := pathKey{commit, sha256.Sum256([]byte(strings.Join(paths, "\x00")))}
	return cached(ctx, m, &m.queries.paths, maxPaths, key, func() (int, error) {
		return m.repo().MissingPath(ctx, commit, paths)
	})
}

// Contains reports whether a revision contains a commit. The error may be limiter.ErrBusy.
func (m *Mirror) Contains(ctx context.Context, revision, commit string) (bool, error) {
	if revision == commit {
		return true, nil
	}
	ok, err := cached(ctx, m, &m.queries.ancestries, maxAncestries, [2]string{revision, commit}, func() (bool, error) {
		return m.repo().IsAncestor(ctx, commit, revision)
	})
	if errors.Is(err, git.ErrNotFound) {
		return false, nil // not cached: a pull may bring the commit
	}
	return ok, err
}

// Commit returns the commit that an object id leads to. The error is git.ErrNotFound if the
// mirror has none, and may be limiter.ErrBusy.
func (m *Mirror) Commit(ctx context.Context, id string) (string, error) {
	return cached(ctx, m, &m.queries.commits, maxCommits, id, func() (string, error) {
		if m.Snapshot().isTip(id) {
			return id, nil
		}
		return m.repo().Commit(ctx, id)
	})
}
