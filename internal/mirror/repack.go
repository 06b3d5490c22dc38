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
)

// Limits of work on packs and objects.
const (
	repackLimit      = 6 * time.Hour // of one repack or check
	incrementalLimit = time.Minute   // of an incremental repack, and for the lock that it needs
)

// RepackPolicy decides how a mirror with these packs is repacked that was last repacked in
// full and last changed at these times.
type RepackPolicy func(packs git.Packs, repacked, changed time.Time) git.Repack

// Repacked is what was done about a mirror's packs.
type Repacked struct {
	Kind          git.Repack
	Before, After int // packs and files of single objects
}

// ErrIncremental is why a mirror is left to who does incremental repacks: its readers wait
// for those.
var ErrIncremental = errors.New("it has too many packs")

// ErrChecking is why a mirror is not repacked now: its packs are being read as a whole.
var ErrChecking = errors.New("the mirror is being checked")

// ErrPreempted is why a repack has ended: somebody else had to write to the mirror.
var ErrPreempted = keylock.ErrPreempted

// errNotOver is why a repack has ended that has taken too long.
var errNotOver = errors.New("not over within its limit")

// Repack does what the policy decides about a mirror's packs, beside the pulls that have
// nothing to write, and packs its refs. An incremental repack is for RepackNow.
func (s *Store) Repack(ctx context.Context, name storage.Name, policy RepackPolicy) (r Repacked, err error) {
	h, err := s.tendLocked(ctx, name)
	if err != nil {
		return r, err
	}
	if err = h.packRefs(ctx); err == nil {
		r, err = h.choose(policy)
	}
	if err == nil && r.Kind == git.RepackIncremental {
		err = ErrIncremental
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
	if current := s.isCurrent(h.Mirror); current != nil {
		return r, cmp.Or(err, current)
	}
	h = h.hold(h.opts, lock)
	if err != nil {
		return r, errors.Join(err, h.staysWhole(known, err))
	}
	return r, h.recordRepack(r.Kind, now, known)
}

// staysWhole notes that a repack which was ended early has taken nothing away: the packs that
// it has made by then are more than was there. Else the next pull would look at all objects.
func (h *held) staysWhole(known git.Inventory, ended error) error {
	if known == nil || !errors.Is(ended, ErrPreempted) && !errors.Is(ended, errNotOver) {
		return nil // or the repack has failed by itself, and it may be damage
	}
	packs, err := h.repo.Inventory()
	if err != nil || !packs.Includes(known) {
		return err
	}
	return h.update(func(s *stateFile) { s.Whole = h.store.whole(packs) })
}

// recordRepack notes that the mirror was repacked, and that it is as whole as it was before.
func (h *held) recordRepack(kind git.Repack, at time.Time, known git.Inventory) error {
	packs, err := h.repo.Inventory()
	if err != nil {
		return err
	}
	return h.update(func(s *stateFile) {
		if kind == git.RepackFull {
			s.Repacked = at.Truncate(time.Second)
		}
		if known != nil {
			s.Whole = h.store.whole(packs)
		}
	})
}

// RepackNow has a mirror wait that has got too many packs, and its pulls, until it has fewer.
func (s *Store) RepackNow(ctx context.Context, name storage.Name, policy RepackPolicy) (r Repacked, err error) {
	h, err := s.tendLocked(ctx, name)
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
		return r, errors.Join(err, h.staysWhole(known, err))
	}
	return r, h.recordRepack(r.Kind, time.Now(), known)
}

// tendLocked locks a mirror whose packs are to be written. It does not wait for
// long: others have packs as well. The caller must call endMaintenance, and then unlock.
func (s *Store) tendLocked(ctx context.Context, name storage.Name) (*held, error) {
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

// choose decides about the mirror's packs as they are now.
func (h *held) choose(policy RepackPolicy) (r Repacked, err error) {
	p, err := h.repo.Packs()
	r.Kind = policy(p, h.state().Repacked, refsChanged(h.Dir))
	r.Before = p.Count + p.Loose
	return r, err
}

// repack does what was chosen, within a limit. What is found broken is looked after.
func (h *held) repack(ctx context.Context, r *Repacked, limit time.Duration) error {
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w of %s", errNotOver, limit))
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

// beginMaintenance notes that a mirror is about to be written to, by whoever has its lock and is no
// pull. It is not to be read anew until endMaintenance is called: that would clear away what is
// being written.
func (s *Store) beginMaintenance(m *Mirror) error {
	if err := s.isCurrent(m); err != nil {
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

// NeedsRepack reports whether a policy would have a mirror repacked. One that cannot be read
// does not need it.
func (s *Store) NeedsRepack(name storage.Name, policy RepackPolicy) bool {
	dir := s.dir.MirrorDir(name)
	p, err := s.options.Load().Git.Repo(dir).Packs()
	if err != nil {
		return false
	}
	state, err := readState(dir)
	return err == nil && policy(p, state.Repacked, refsChanged(dir)) != git.RepackNone
}
