package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/units"
)

// A mirror is whole if it has all objects that its refs lead to. Refs do not show that: a
// copied-in repository may lack objects, and packs can be damaged later. So a pull succeeds only
// if this server has made or checked the mirror, and its packs have not changed since. git fetch
// itself checks that the new objects connect to the old ones. So the usual pull only compares the
// names and sizes of files, and starts no process for this.

// wholeness records which server knows that a mirror is whole, and with which packs.
type wholeness struct {
	Server string `json:"server"` // its id
	Packs  string `json:"packs"`  // the digest of the git.Inventory
}

// packsOnDisk is a mirror's inventory as it was last read.
type packsOnDisk struct {
	git.Inventory
	stamp string    // as long as the repository has it, the inventory is the same
	whole wholeness // of this inventory
}

// knownWhole returns the inventory of a mirror that is known to be whole, else nil. Nobody may
// change it.
func (h *held) knownWhole() git.Inventory {
	packs := h.packs()
	if !h.repo.HasStamp(packs.stamp) {
		now, stamp, err := h.repo.StampedInventory()
		if err != nil {
			return nil
		}
		h.size.Store(now.Size())
		*packs = packsOnDisk{now, stamp, h.store.wholenessOf(now)}
	}
	if h.state().Whole != packs.whole {
		return nil
	}
	return packs.Inventory
}

func (s *Store) wholenessOf(packs git.Inventory) wholeness {
	return wholeness{s.dir.ID, packs.Digest()}
}

// ensureWhole checks whether the mirror is whole, unless that is known. It returns the inventory
// of a whole mirror. It returns nil if the mirror is known to be damaged, or is being repacked:
// then it leaves the check to a rebuild or to the next pull.
func (j *pullJob) ensureWhole(ctx context.Context, h *held) (git.Inventory, error) {
	if known := h.knownWhole(); known != nil {
		return known, nil
	}
	isKnownHere := h.state().Whole.Server == j.dir.ID
	if h.health.knownDamage() != nil || isKnownHere && j.isMaintained(h.Name) {
		return nil, nil
	}
	return j.verifyConnected(ctx, h)
}

// verifyDeepened checks a whole mirror again if a fetch has changed where its history is cut
// off: git fetch has checked only objects that no ref led to.
func (j *pullJob) verifyDeepened(ctx context.Context, h *held, known git.Inventory) (git.Inventory, error) {
	if known == nil || known.Shallow() == 0 {
		return known, nil
	}
	now, err := h.repo.Inventory()
	if err == nil && now.Shallow() != known.Shallow() {
		return j.verifyConnected(ctx, h)
	}
	return known, err
}

// verifyConnected checks whether the mirror is whole, and records the result. Damage is an
// error.
func (j *pullJob) verifyConnected(ctx context.Context, h *held) (git.Inventory, error) {
	j.progress.wait("waiting for other transfers")
	if err := j.fetches.Acquire(ctx, j.req.Name.String()); err != nil {
		return nil, err
	}
	defer j.fetches.Release()
	h.lock.Preempt()
	j.progress.say("checking that all objects are here")
	began := time.Now()
	seen, damage, err := h.checkConnected(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("can't check whether all objects are here: %w", err)
	case damage != nil:
		j.log.Error("a mirror is damaged", "mirror", h.Name, "err", damage)
		return nil, errors.Join(damage, h.recordCheck(damage, h.state().Warnings, time.Now()))
	}
	j.log.Info("a mirror has all its objects", "mirror", h.Name, "took", units.FormatSeconds(time.Since(began)))
	return seen, h.update(func(s *stateFile) { s.Whole = j.wholenessOf(seen) })
}

// checkConnected checks whether the mirror has all objects that its refs lead to. If its packs
// change meanwhile, as by an operator's repack, it checks again, three times at most. seen is the
// inventory before the last check.
func (h *held) checkConnected(ctx context.Context) (seen git.Inventory, damage, err error) {
	ctx, cancel := within(ctx, repackLimit)
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
			return seen, nil, markDamage(err)
		}
		damage, err = h.repo.Connected(ctx, ids)
		after, listErr := h.repo.Inventory()
		if listErr == nil && after.Digest() == seen.Digest() {
			break
		}
	}
	return seen, damage, err
}
