package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// Refs do not show whether objects are missing: a repository that was copied in may lack some,
// and packs can be damaged later. So a pull succeeds only if this server has made or checked
// the mirror, and its packs have not changed since. Git itself checks that what a fetch brings
// connects to what is here. So the usual pull only compares the names and sizes of files, and
// starts no process for this.

// wholeness says who knows that a mirror is whole, and by which packs.
type wholeness struct {
	Server string `json:"server"` // its id
	Packs  string `json:"packs"`  // the digest of the git.Inventory
}

// knownWhole is what a mirror has its objects in, if it is known to be whole so; else nil.
func (h *held) knownWhole() git.Inventory {
	now, err := h.repo.Inventory()
	if err != nil || h.state().Whole != h.store.whole(now) {
		return nil
	}
	return now
}

func (s *Store) whole(packs git.Inventory) wholeness { return wholeness{s.dir.ID, packs.Digest()} }

// ensureWhole looks whether the mirror is whole, if nobody knows. What it returns is not nil if
// that is known now. While the mirror is being repacked nobody can tell: then the next pull
// looks.
func (j *pullJob) ensureWhole(ctx context.Context, h *held) (git.Inventory, error) {
	if known := h.knownWhole(); known != nil {
		return known, nil
	}
	isKnownHere := h.state().Whole.Server == j.dir.ID
	if h.health.known() != nil || isKnownHere && j.isMaintained(h.Name) {
		return nil, nil // it will be rebuilt; or only its packs are others
	}
	return j.look(ctx, h)
}

// lookAfter looks again, after a fetch, at a mirror that was known to be whole, if it has got
// more of its history by that: git has looked only at what no ref led to.
func (j *pullJob) lookAfter(ctx context.Context, h *held, known git.Inventory) (git.Inventory, error) {
	if known == nil || known.Shallow() == 0 {
		return known, nil
	}
	now, err := h.repo.Inventory()
	if err == nil && now.Shallow() != known.Shallow() {
		return j.look(ctx, h)
	}
	return known, err
}

// look looks whether the mirror is whole, and notes what it has found. Damage is an error.
func (j *pullJob) look(ctx context.Context, h *held) (git.Inventory, error) {
	j.progress.say("waiting for other transfers")
	if err := j.fetches.Acquire(ctx, j.req.Name.String()); err != nil {
		return nil, err
	}
	defer j.fetches.Release()
	h.lock.Preempt()
	j.progress.say("looking whether all objects are here")
	began := time.Now()
	seen, damage, err := h.connected(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("can't look whether all objects are here: %w", err)
	case damage != nil:
		j.log.Error("a mirror is damaged", "mirror", h.Name, "err", damage)
		return nil, errors.Join(damage, h.recordCheck(damage, h.state().Warnings, time.Now()))
	}
	j.log.Info("a mirror has all its objects", "mirror", h.Name, "seconds", time.Since(began).Round(time.Millisecond).Seconds())
	return seen, h.update(func(s *stateFile) { s.Whole = j.whole(seen) })
}

// connected looks whether all objects are there that the mirror's refs lead to, three times at
// most if its packs change meanwhile, as an operator's repack does that. seen is what they lay in.
func (h *held) connected(ctx context.Context) (seen git.Inventory, damage, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, repackLimit, fmt.Errorf("not over within %s", repackLimit))
	defer cancel()
	var ids []string
	now := h.Snapshot()
	for _, refs := range [][]git.Ref{now.Refs, h.own(), {{ID: now.Head.ID}}} {
		for _, ref := range refs {
			if ref.ID != "" {
				ids = append(ids, ref.ID)
			}
		}
	}
	for range 3 {
		if seen, err = h.repo.Inventory(); err != nil {
			return seen, nil, orDamage(err)
		}
		damage, err = h.repo.Connected(ctx, ids)
		after, listErr := h.repo.Inventory()
		if listErr == nil && after.Digest() == seen.Digest() {
			break
		}
	}
	return seen, damage, err
}
