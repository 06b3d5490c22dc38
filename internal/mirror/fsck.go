package mirror

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// LastCheck returns when a mirror was last checked, zero for never or if its state file cannot
// be read, and whether it is known to be damaged.
func (s *Store) LastCheck(name storage.Name) (at time.Time, damaged bool) {
	state, err := readState(s.dir.MirrorDir(name))
	if err != nil {
		return time.Time{}, false
	}
	return state.Checked, state.damage() != nil
}

// Check reads all objects of a mirror, and records and returns the damage that it finds. Pulls
// go on meanwhile; repacks do not.
func (s *Store) Check(ctx context.Context, name storage.Name) (damage, err error) {
	m, err := s.Get(name)
	if err != nil {
		return nil, err
	}
	opts := s.options.Load()
	lock, err := s.locks.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	lock.Preempt()
	s.setChecking(name)
	defer s.setChecking(storage.Name{})
	h := m.hold(opts, lock)
	h.dropBroken(ctx)
	lock.Unlock()

	limited, cancel := within(ctx, repackLimit)
	defer cancel()
	damage, warnings, err := checkStable(limited, h.repo)
	if err != nil {
		return nil, err
	}

	if lock, err = s.locks.Lock(ctx, name); err != nil {
		return nil, err
	}
	defer lock.Unlock()
	if err := s.checkCurrent(m); err != nil {
		return nil, err
	}
	return damage, m.hold(opts, lock).recordCheck(damage, warnings, time.Now())
}

// errOtherCheck means that a mirror is not checked now. It will be when it fails again.
var errOtherCheck = errors.New("not checked for damage: another mirror is being checked")

// checkSuspect checks a mirror because something has failed. Only one such check runs at a
// time, and the other mirrors do not wait for it: if all mirrors fail, it is hardly because of
// damage, and reading all of them would keep the disk busy for everybody.
func (h *held) checkSuspect(ctx context.Context) (damage error, warnings git.Warnings, err error) {
	if !h.store.checkingSuspect.TryLock() {
		return nil, nil, errOtherCheck
	}
	defer h.store.checkingSuspect.Unlock()
	ctx, cancel := within(ctx, repackLimit)
	defer cancel()
	h.dropBroken(ctx)
	return h.repo.Check(ctx)
}

// dropBroken removes broken files that git derives from a mirror's objects to read them
// faster. That needs no origin. The next full repack makes them anew, and is due now.
func (h *held) dropBroken(ctx context.Context) {
	dropped, err := h.repo.DropBroken(ctx)
	log := h.store.log.With("mirror", h.Name)
	if len(dropped) > 0 {
		log.Error("removed broken files that git can do without", "files", strings.Join(dropped, " "))
		if h.checkIdentity() == nil {
			err = errors.Join(err, h.update(func(s *stateFile) { s.Repacked = time.Time{} }))
		}
	}
	if err != nil && ctx.Err() == nil {
		log.Error("can't look for broken files that git can do without", "err", err)
	}
}

// checkStable checks a repository. If it finds damage, and refs have changed meanwhile, it
// checks again, three times at most: a pull that was writing can look like damage.
func checkStable(ctx context.Context, repo git.Repo) (damage error, warnings git.Warnings, err error) {
	for range 3 {
		before := repo.Stamp()
		if damage, warnings, err = repo.Check(ctx); damage == nil || err != nil || repo.Stamp() == before {
			break
		}
	}
	return damage, warnings, err
}

func (s *Store) setChecking(name storage.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checking = name
}

// isChecking reports whether Check reads a mirror. The answer holds as long as the caller holds
// the mirror's lock.
func (s *Store) isChecking(name storage.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checking == name
}
