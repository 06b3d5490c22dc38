package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
)

// What readers ask about commits costs a process once, and is remembered: commits never
// change.

// Bounds of what a mirror remembers of commits that readers asked about.
const (
	maxAncestries = 4096
	maxCommits    = 4096
	maxPaths      = 4096
)

// maxQueries is how many git processes may be at work at once to find out what readers'
// words mean. Each is short.
const maxQueries = 16

// queryCache is what a mirror remembers of commits. The zero value is ready for use.
type queryCache struct {
	mu         sync.Mutex         // guards all below
	ancestries map[[2]string]bool // by revision and commit: whether the first contains the second
	commits    map[string]string  // by object: the commit that it leads to
	paths      map[pathKey]bool   // whether a commit has a path
}

// pathKey is a path in a commit. A path may be long: its digest stands for it.
type pathKey struct {
	commit string
	path   [sha256.Size]byte
}

// query asks git what a reader's words mean, when there is a place for it. The error may be
// limiter.ErrBusy.
func query[T any](ctx context.Context, places *limiter.Limiter, key string, ask func() (T, error)) (T, error) {
	if err := places.Acquire(ctx, key); err != nil {
		var none T
		return none, err
	}
	defer places.Release()
	return ask()
}

// remembered returns what a map remembers, or else asks git, and remembers the answer.
func remembered[K comparable, T any](
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

// HasPath reports whether a commit has that path.
func (m *Mirror) HasPath(ctx context.Context, commit, path string) (bool, error) {
	return remembered(ctx, m, &m.queries.paths, maxPaths, pathKey{commit, sha256.Sum256([]byte(path))}, func() (bool, error) {
		return m.repo().HasPath(ctx, commit, path)
	})
}

// Contains reports whether a revision contains a commit.
func (m *Mirror) Contains(ctx context.Context, revision, commit string) (bool, error) {
	if revision == commit {
		return true, nil
	}
	ok, err := remembered(ctx, m, &m.queries.ancestries, maxAncestries, [2]string{revision, commit}, func() (bool, error) {
		return m.repo().IsAncestor(ctx, commit, revision)
	})
	if errors.Is(err, git.ErrNotFound) {
		return false, nil // not yet: a pull may bring it
	}
	return ok, err
}

// Commit returns the commit that an object id leads to. If the mirror has none, the error is
// git.ErrNotFound.
func (m *Mirror) Commit(ctx context.Context, id string) (string, error) {
	return remembered(ctx, m, &m.queries.commits, maxCommits, id, func() (string, error) {
		return m.repo().Commit(ctx, id)
	})
}
