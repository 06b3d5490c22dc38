package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// Mirror is one mirrored repository. What is known of it is its snapshot; what
// changes it is a pull, of which there is one at a time for each name.
type Mirror struct {
	Name Name
	Dir  string

	identity identity     // of the directory that was loaded
	seen     atomic.Int64 // when the directory was last looked at, in nanoseconds
	snapshot atomic.Pointer[Snapshot]
	// unreadable is why the mirror has no snapshot, if that was tried.
	unreadable atomic.Pointer[string]
	generation *atomic.Uint64 // of all mirrors; nil while the mirror is built
	questions  *gate          // of all mirrors; nil while the mirror is built
	log        *slog.Logger   // of all mirrors; nil while the mirror is built

	refs sync.RWMutex // held for writing while refs on disk change, for reading while several are read

	loading   sync.Mutex // held while the mirror is read for the first time
	recovered bool       // guarded by loading

	// Owned by load, and then by the pull that is running.
	state    stateFile
	stamp    string       // of the refs that the snapshot shows
	own      []git.Ref    // refs that are not for clients
	settled  bool         // refs are where they can be changed in one step
	digested []RefPattern // what the snapshot's fingerprint selects
	refused  refusedIDs

	mu      sync.Mutex           // guards all below
	damage  error                // what a check has found; nil for nothing, or if there was none
	whole   time.Time            // when a check found nothing
	mending backoff              // of attempts to mend what readers have met with
	retry   backoff              // of pulls that a GET starts
	pulled  bool                 // successfully, since the server started
	sought  map[string]bool      // commits that the next pull to end may bring
	lacking map[string]time.Time // commits that a pull did not bring, until when not to pull for them
	within  map[[2]string]bool   // memory of Contains
	commits map[string]string    // memory of Commit
	wanted  map[wanted]time.Time // what clients ask for, and when they last did
}

// identity tells one directory from another that has taken its place.
type identity struct {
	device, inode uint64
	born          int64 // nanoseconds; 0 if the file system does not tell
}

// errReplaced is why a pull ends whose mirror is not there any more.
var errReplaced = errors.New("the mirror's directory was removed or replaced by hand while it was pulled")

// same checks that the mirror's directory is still the one that was loaded.
func (m *Mirror) same() error {
	id, err := identify(m.Dir)
	if err == nil && id != m.identity {
		err = errReplaced
	}
	return err
}

// stale reports whether somebody has written refs of a mirror that was not pulled
// since it was read: it may have been copied in while it was read.
func (m *Mirror) stale(set *settings) bool {
	m.mu.Lock()
	pulled := m.pulled
	m.mu.Unlock()
	s := m.Snapshot()
	return !pulled && s != nil && s.stamp != set.git.Repo(m.Dir).Stamp()
}

// Snapshot is what is known of the mirror now. It is nil before the first load.
func (m *Mirror) Snapshot() *Snapshot { return m.snapshot.Load() }

// load reads a mirror from disk, once. It serves all who ask, and does not end when
// one of them goes away.
func (m *Mirror) load(life context.Context, set *settings) (err error) {
	if m.Snapshot() != nil {
		return nil
	}
	m.loading.Lock()
	defer m.loading.Unlock()
	if m.Snapshot() != nil {
		return nil
	}
	defer func() {
		err = orDamage(err)
		if err != nil && life.Err() == nil {
			m.cannotRead(err)
		}
	}()
	repo := set.git.Repo(m.Dir)
	if err := m.recover(life, repo); err != nil {
		return err
	}
	if m.state.Origin == "" {
		url, err := repo.Origin(life)
		if err != nil {
			return err
		}
		if origin, err := ParseOrigin(url, true); err == nil {
			m.state.setOrigin(origin)
		}
	}
	stamp := repo.Stamp()
	listing, err := repo.Refs(life)
	if err != nil {
		return err
	}
	if damage := m.state.damage(); damage != nil {
		m.noteDamage(damage, time.Now())
	}
	m.publish(set, listing, stamp)
	return nil
}

// orDamage tells of an error of reading a mirror's files that it is damage, if a part of the
// mirror is not there or is another kind of thing.
func orDamage(err error) error {
	for _, sign := range []error{fs.ErrNotExist, syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP} {
		if errors.Is(err, sign) {
			return fmt.Errorf("%w: %w", git.ErrDamaged, err)
		}
	}
	return err
}

// Recover clears away what an interrupted daemon left in the mirror, without
// reading the mirror.
func (m *Mirror) Recover(life context.Context, set *settings) error {
	m.loading.Lock()
	defer m.loading.Unlock()
	return m.recover(life, set.git.Repo(m.Dir))
}

// recover reads the state and completes what an interrupted pull left
// unfinished, once and before anybody reads a ref, so that nobody sees a part of
// it; m.loading is held.
func (m *Mirror) recover(ctx context.Context, repo git.Repo) (err error) {
	if m.recovered {
		return nil
	}
	if m.state, err = readState(m.Dir); err != nil {
		return err
	}
	if err := errors.Join(repo.Sweep(), os.RemoveAll(filepath.Join(m.Dir, stateName+".new"))); err != nil {
		return err
	}
	if p := m.state.Pending; p != nil {
		l, err := repo.Refs(ctx)
		if err != nil {
			return err
		}
		if digest(l.Refs) == p.Refs { // the refs are the new ones
			if err := repo.WriteHead(p.Head); err != nil {
				return err
			}
		}
		m.state.Pending = nil
		if err := m.state.write(m.Dir); err != nil {
			return err
		}
	}
	m.recovered = true
	return nil
}

// settle sees to it that all refs are where they can be changed in one step, and
// that readers see what is on disk, also if somebody has changed it by hand.
func (m *Mirror) settle(ctx context.Context, set *settings, repo git.Repo) error {
	if repo.Stamp() == m.stamp && m.settled {
		return nil
	}
	listing, err := repo.Settle(ctx)
	if err != nil {
		return orDamage(err)
	}
	m.publish(set, listing, repo.Stamp())
	m.settled = true
	return nil
}

// apply makes the mirror what a plan says, on disk and for readers, with these refs of its
// own, and notes that it was pulled. The mirror must be settled. A crash at any moment, and an error,
// leave either all of the old refs or all of the new ones.
func (m *Mirror) apply(ctx context.Context, set *settings, repo git.Repo, p plan, own []git.Ref, state stateFile) error {
	if err := m.same(); err != nil {
		return err
	}
	if !p.nothing() {
		if err := m.change(repo, p, own); err != nil {
			return errors.Join(err, m.reread(ctx, set, repo))
		}
	}
	if err := state.write(m.Dir); err != nil {
		return errors.Join(err, m.reread(ctx, set, repo))
	}
	m.state = state
	if p.nothing() {
		m.publish(set, git.Listing{}, m.stamp)
	} else {
		m.publish(set, git.Listing{Refs: joined(p.after.Refs, own), Head: p.after.Head}, repo.Stamp())
	}
	return nil
}

// joined is all refs of a mirror, sorted.
func joined(content, own []git.Ref) []git.Ref {
	all := append(slices.Clip(content), own...)
	slices.SortFunc(all, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// change writes refs, the mirror's own included, and HEAD.
func (m *Mirror) change(repo git.Repo, p plan, own []git.Ref) error {
	all := joined(p.after.Refs, own)
	if p.head != nil {
		state := m.state
		state.Pending = &pendingHead{*p.head, digest(all)}
		if err := state.write(m.Dir); err != nil {
			return err
		}
	}
	m.refs.Lock()
	defer m.refs.Unlock()
	if p.changed() > 0 || !slices.Equal(own, m.own) {
		if err := repo.WriteRefs(all); err != nil {
			return err
		}
	}
	if p.head != nil {
		return repo.WriteHead(*p.head)
	}
	return nil
}

// reread makes known to readers what is on disk after a change that went wrong.
func (m *Mirror) reread(ctx context.Context, set *settings, repo git.Repo) error {
	m.recovered = false
	if err := m.Recover(ctx, set); err != nil {
		return err
	}
	stamp := repo.Stamp()
	listing, err := repo.Refs(ctx)
	if err == nil {
		m.publish(set, listing, stamp)
	}
	return err
}

// publish makes the mirror's state known to readers and, if the stamp is new, these
// refs. Digesting thousands of refs takes a while: without a change it is not done
// again.
func (m *Mirror) publish(set *settings, l git.Listing, stamp string) {
	s := &Snapshot{
		Outcome:   m.state.Outcome,
		Pulled:    m.state.Pulled,
		LastError: m.state.LastError,
		Origin:    m.state.origin(), Formers: m.state.formers(),
		From:   m.state.From,
		Wanted: m.state.Wanted, Accepted: m.state.Accepted, Removed: m.state.Removed,
		Checked: m.state.Checked, CheckError: m.state.CheckError, Mended: m.state.Mended,
		Warnings: m.state.Warnings,
	}
	if s.Outcome == "" {
		s.Outcome = OutcomeUnknown
	}
	if s.Pulled.IsZero() {
		s.Changed = refsChanged(m.Dir)
	}
	old := m.Snapshot()
	same := old != nil && stamp == m.stamp
	if same {
		s.Listing, s.Kept = old.Listing, old.Kept
	} else {
		s.Head = l.Head
		s.Refs, m.own = separate(l.Refs)
		s.Kept = keptAmong(m.own)
	}
	if same && slices.Equal(m.digested, set.Refs) {
		s.Fingerprint = old.Fingerprint
	} else {
		s.Fingerprint = fingerprint(s.Listing, set.Refs)
	}
	s.stamp, m.stamp, m.digested = stamp, stamp, set.Refs
	s.dress()
	m.show(s)
}

// fail notes that a pull failed: in the snapshot, and on disk if it is news.
func (m *Mirror) fail(reason error) error {
	s := *m.snapshot.Load()
	s.Outcome, s.LastError = OutcomeFailed, reason.Error()
	s.dress()
	m.show(&s)
	if m.state.Outcome == s.Outcome && m.state.LastError == s.LastError {
		return nil
	}
	m.state.Outcome, m.state.LastError = s.Outcome, s.LastError
	return m.state.write(m.Dir)
}

// refsChanged is when a repository's refs last changed on disk.
func refsChanged(dir string) time.Time {
	var latest time.Time
	look := func(path string) {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	look(filepath.Join(dir, "HEAD"))
	look(filepath.Join(dir, "packed-refs"))
	_ = filepath.WalkDir(filepath.Join(dir, "refs"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			look(path)
		}
		return nil // what cannot be read has no date
	})
	return latest
}
