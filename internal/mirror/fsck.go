package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// LastCheck tells when all objects of a mirror were last checked, as far as its own file can be
// read, and whether it is known to be damaged.
func (s *Store) LastCheck(name storage.Name) (at time.Time, damaged bool) {
	state, err := readState(s.dir.MirrorDir(name))
	if err != nil {
		return time.Time{}, false
	}
	return state.Checked, state.damage() != nil
}

// Check reads all of a mirror, and notes and returns what is damaged. Pulls may go on
// meanwhile, but its packs stay.
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

	limited, cancel := context.WithTimeoutCause(ctx, repackLimit, fmt.Errorf("not over within %s", repackLimit))
	defer cancel()
	damage, warnings, err := checkStill(limited, h.repo)
	if err != nil {
		return nil, err
	}

	if lock, err = s.locks.Lock(ctx, name); err != nil {
		return nil, err
	}
	defer lock.Unlock()
	if err := s.isCurrent(m); err != nil {
		return nil, err
	}
	return damage, m.hold(opts, lock).recordCheck(damage, warnings, time.Now())
}

// errOtherSuspect is why a mirror is not checked now. It will be when it fails again.
var errOtherSuspect = errors.New("not checked for damage: another mirror is just being checked")

// checkSuspect checks a mirror because something has failed. Only one is checked so at a
// time, and the others do not wait: what all of them fail with is hardly their damage, and
// to read all that there is would take the disk from everybody.
func (h *held) checkSuspect(ctx context.Context) (damage error, warnings git.Warnings, err error) {
	if !h.store.suspecting.TryLock() {
		return nil, nil, errOtherSuspect
	}
	defer h.store.suspecting.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, repackLimit, fmt.Errorf("not over within %s", repackLimit))
	defer cancel()
	h.dropBroken(ctx)
	return h.repo.Check(ctx)
}

// dropBroken removes what git has made from a mirror's objects to read them faster, where
// it is broken: that needs no origin. The next full repack makes it anew, and is due.
func (h *held) dropBroken(ctx context.Context) {
	dropped, err := h.repo.DropBroken(ctx)
	log := h.store.log.With("mirror", h.Name)
	if len(dropped) > 0 {
		log.Error("removed broken files that git can do without", "files", strings.Join(dropped, " "))
		if h.same() == nil {
			err = errors.Join(err, h.update(func(s *stateFile) { s.Repacked = time.Time{} }))
		}
	}
	if err != nil && ctx.Err() == nil {
		log.Error("can't look for broken files that git can do without", "err", err)
	}
}

// checkStill checks a repository, and once more if it finds damage and refs have changed
// meanwhile: what a pull was just writing is no damage.
func checkStill(ctx context.Context, repo git.Repo) (damage error, warnings git.Warnings, err error) {
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

// isChecking reports whether a mirror is being read as a whole. Who has its lock can rely on
// the answer until it is unlocked.
func (s *Store) isChecking(name storage.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checking == name
}
