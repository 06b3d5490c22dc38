package mirror

import (
	"context"
	"errors"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
)

// holds reports whether the refs of a snapshot lead to a commit, directly or by their history.
// The error may be limiter.ErrBusy.
func (m *Mirror) holds(ctx context.Context, snap *Snapshot, commit string) (bool, error) {
	if refs.Names(snap.Listing, commit) {
		return true, nil
	}
	commit, err := m.Commit(ctx, commit) // it may be an annotated tag
	if errors.Is(err, git.ErrNotFound) {
		return false, nil // not cached: a pull may bring the commit
	}
	if err != nil {
		return false, err
	}
	return cached(ctx, m, &m.queries.ancestries, maxAncestries, [2]string{snap.stamp, commit}, func() (bool, error) {
		ids := make([]string, 0, len(snap.Refs))
		for _, ref := range snap.Refs {
			ids = append(ids, ref.ID)
		}
		unreachable, err := m.repo().Unreachable(ctx, []string{commit}, ids)
		return err == nil && !unreachable[commit], err
	})
}

// EnsureHeld pulls if the mirror's refs do not lead to a commit, unless that was tried a moment
// ago. It reports whether they do then. The error may be limiter.ErrBusy.
func (m *Mirror) EnsureHeld(ctx context.Context, commit string) (bool, error) {
	if ok, err := m.holds(ctx, m.Snapshot(), commit); ok || err != nil {
		return ok, err
	}
	m.EnsureObject(ctx, commit)
	return m.holds(ctx, m.Snapshot(), commit)
}

// EnsureObject is EnsureCommit for an object of any kind and a reader who has just come.
func (m *Mirror) EnsureObject(ctx context.Context, id string) bool {
	return m.EnsureCommit(ctx, id, time.Now())
}
