package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/keylock"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Limits for work on packs and objects.
const (
	repackLimit      = 6 * time.Hour // for one repack or check
	incrementalLimit = time.Minute   // for an incremental repack, and to wait for a lock before any repack
)

// RepackPolicy decides how a mirror is repacked, by its packs and by when it was last repacked
// in full and last changed.
type RepackPolicy func(packs git.Packs, repacked, changed time.Time) git.Repack

// Repacked is what was done about a mirror's packs.
type Repacked struct {
	Kind          git.Repack
	Before, After int // packs and loose objects
}

// ErrNeedsIncremental means that a mirror needs an incremental repack, which RepackNow does.
var ErrNeedsIncremental = errors.New("it has too many packs")

// ErrChecking means that a mirror cannot be repacked now because Check reads its packs.
var ErrChecking = errors.New("the mirror is being checked")

// ErrPreempted means that a repack was ended because somebody else had to write to the mirror.
var ErrPreempted = keylock.ErrPreempted

// errTookTooLong is the cause of the end of a context of within.
var errTookTooLong = errors.New("it took longer than its limit")

// within returns a context that ends after a limit because of errTookTooLong.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w of %s", errTookTooLong, units.FormatDuration(limit)))
}

// Repack packs a mirror's refs and does what the policy decides about its packs. Pulls that have
// nothing to write go on meanwhile; one that has something to write ends the repack, and the
// error is ErrPreempted. If the policy wants an incremental repack, Repack does nothing, and the
// error is ErrNeedsIncremental.
func (s *Store) Repack(ctx context.Context, name storage.Name, policy RepackPolicy) (r Repacked, err error) {
	h, err := s.lockForRepack(ctx, name)
	if err != nil {
		return r, err
	}
	if err = h.packRefs(ctx); err == nil {
		r, err = h.choose(policy)
	}
	if err == nil && r.Kind == git.RepackIncremental {
		err = ErrNeedsIncremental
	}
	if err != nil || r.Kind == git.RepackNone {
		s.endMaintenance(name)
		h.lock.Unlock()
		return Repacked{}, err
	}
	now, known := time.Now(), h.knownWhole()
	work := h.lock.Downgrade(ctx)
	err = h.repack(work.Context, &r, repackLimit)
	s.endMaintenance(name)
	work.Done()
	lock, lockErr := s.locks.Lock(ctx, name)
	if lockErr != nil {
		return r, cmp.Or(err, lockErr)
	}
	defer lock.Unlock()
	if current := s.checkCurrent(h.Mirror); current != nil {
		return r, cmp.Or(err, current)
	}
	h = h.hold(h.opts, lock)
	if err != nil {
		return r, errors.Join(err, h.recordStillWhole(known, err))
	}
	return r, h.recordRepack(r.Kind, now, known)
}

// recordStillWhole records that the mirror is still whole after a repack was ended early, if it
// has all packs that it had before (known). Else the next pull would have to look at all
// objects.
func (h *held) recordStillWhole(known git.Inventory, ended error) error {
	if known == nil || !errors.Is(ended, ErrPreempted) && !errors.Is(ended, errTookTooLong) {
		return nil // the repack has failed by itself, perhaps because of damage
	}
	packs, err := h.repo.Inventory()
	if err != nil || !packs.Includes(known) {
		return err
	}
	return h.update(func(s *stateFile) { s.Whole = h.store.wholenessOf(packs) })
}

// recordRepack records that the mirror was repacked and, if it was known to be whole, that it
// still is.
func (h *held) recordRepack(kind git.Repack, at time.Time, known git.Inventory) error {
	packs, err := h.repo.Inventory()
	if err != nil {
		return err
	}
	h.size.Store(packs.Size())
	return h.update(func(s *stateFile) {
		if kind == git.RepackFull {
			s.Repacked = at.Truncate(time.Second)
		}
		if known != nil {
			s.Whole = h.store.wholenessOf(packs)
		}
	})
}

// RepackNow does an incremental repack of a mirror, if the policy still wants one. It holds the
// mirror's lock, so pulls wait for it.
func (s *Store) RepackNow(ctx context.Context, name storage.Name, policy RepackPolicy) (r Repacked, err error) {
	h, err := s.lockForRepack(ctx, name)
	if err != nil {
		return r, err
	}
	defer h.lock.Unlock()
	defer s.endMaintenance(name)
	if r, err = h.choose(policy); err != nil || r.Kind != git.RepackIncremental {
		return Repacked{}, err
	}
	known := h.knownWhole()
	if err := h.repack(ctx, &r, incrementalLimit); err != nil {
		return r, errors.Join(err, h.recordStillWhole(known, err))
	}
	return r, h.recordRepack(r.Kind, time.Now(), known)
}

// lockForRepack locks a mirror in order to write its packs. It waits at most incrementalLimit,
// since other mirrors want repacks too. The caller must call endMaintenance, and then unlock.
func (s *Store) lockForRepack(ctx context.Context, name storage.Name) (*held, error) {
	m, err := s.Get(name)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, incrementalLimit, ErrPreempted)
	defer cancel()
	lock, err := s.locks.Lock(waiting, name)
	if err != nil {
		return nil, err
	}
	lock.Preempt()
	if err = s.beginMaintenance(m); err == nil && s.isChecking(name) {
		s.endMaintenance(name)
		err = ErrChecking
	}
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	return m.hold(s.options.Load(), lock), nil
}

// choose asks the policy about the mirror's packs as they are now.
func (h *held) choose(policy RepackPolicy) (r Repacked, err error) {
	p, err := h.repo.Packs()
	r.Kind = policy(p, h.state().Repacked, refsChangedAt(h.dir))
	r.Before = p.Count + p.Loose
	return r, err
}

// repack does the repack r.Kind within a limit. A failure that damage would explain has the
// mirror checked.
func (h *held) repack(ctx context.Context, r *Repacked, limit time.Duration) error {
	limited, cancel := within(ctx, limit)
	defer cancel()
	err := h.repo.Repack(limited, r.Kind)
	if err != nil {
		if limited.Err() == nil {
			h.Suspect(err)
		}
		return errors.Join(err, h.repo.Sweep())
	}
	p, err := h.repo.Packs()
	r.After = p.Count + p.Loose
	return err
}

// beginMaintenance records that the holder of a mirror's lock, which is no pull, writes to the
// mirror. Until endMaintenance the mirror is not loaded anew: that would remove the files that
// are being written.
func (s *Store) beginMaintenance(m *Mirror) error {
	if err := s.checkCurrent(m); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[m.Name] != m {
		return ErrReplaced
	}
	s.maintained[m.Name] = true
	return nil
}

func (s *Store) isMaintained(name storage.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maintained[name]
}

func (s *Store) endMaintenance(name storage.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.maintained, name)
}

// NeedsRepack reports whether a policy wants a mirror repacked. It is false for a mirror that
// cannot be read.
func (s *Store) NeedsRepack(name storage.Name, policy RepackPolicy) bool {
	dir := s.dir.MirrorDir(name)
	p, err := s.options.Load().Git.Repo(dir).Packs()
	if err != nil {
		return false
	}
	state, err := readState(dir)
	return err == nil && policy(p, state.Repacked, refsChangedAt(dir)) != git.RepackNone
}
