package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
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
	refs     sync.RWMutex // held for writing while refs on disk change, for reading while several are read

	loading   sync.Mutex // held while the mirror is read for the first time
	recovered bool       // guarded by loading

	// Owned by load, and then by the pull that is running.
	state    stateFile
	digested []RefPattern // what the snapshot's fingerprint selects

	mu      sync.Mutex           // guards all below
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

// Snapshot is what is known of the mirror now. It is nil before the first load.
func (m *Mirror) Snapshot() *Snapshot { return m.snapshot.Load() }

// load reads a mirror from disk, once.
func (m *Mirror) load(ctx context.Context, set *settings) error {
	if m.Snapshot() != nil {
		return nil
	}
	m.loading.Lock()
	defer m.loading.Unlock()
	if m.Snapshot() != nil {
		return nil
	}
	repo := set.git.Repo(m.Dir)
	if err := m.recover(ctx, repo); err != nil {
		return err
	}
	if m.state.Origin == "" {
		url, err := repo.Origin(ctx)
		if err != nil {
			return err
		}
		if origin, err := ParseOrigin(url, true); err == nil {
			m.state.setOrigin(origin)
		}
	}
	return m.read(ctx, set, repo)
}

// read makes known to readers what is on disk.
func (m *Mirror) read(ctx context.Context, set *settings, repo git.Repo) error {
	listing, err := repo.Refs(ctx)
	if err != nil {
		return err
	}
	listing.Refs = withoutOwn(listing.Refs)
	m.publish(set, listing, true)
	return nil
}

// Recover clears away what an interrupted daemon left in the mirror, without
// reading the mirror.
func (m *Mirror) Recover(ctx context.Context, set *settings) error {
	m.loading.Lock()
	defer m.loading.Unlock()
	return m.recover(ctx, set.git.Repo(m.Dir))
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
	if err := repo.Sweep(); err != nil {
		return err
	}
	if err := m.finish(ctx, repo); err != nil {
		return err
	}
	m.recovered = true
	return nil
}

// finish completes an update of refs that was decided, if one is left over.
func (m *Mirror) finish(ctx context.Context, repo git.Repo) error {
	if m.state.Pending == nil {
		return nil
	}
	if err := m.carryOut(ctx, repo.Resume); err != nil {
		return fmt.Errorf("can't complete the interrupted update of refs: %w", err)
	}
	return nil
}

// carryOut does the update that is pending, and forgets it.
func (m *Mirror) carryOut(ctx context.Context, update func(context.Context, git.Update) error) error {
	m.refs.Lock()
	defer m.refs.Unlock()
	if err := update(ctx, *m.state.Pending); err != nil {
		return err
	}
	m.state.Pending = nil
	return m.state.write(m.Dir)
}

// apply makes the mirror what a plan says, in a way that a crash at any moment
// cannot leave it in between, and makes it known to readers at once.
func (m *Mirror) apply(ctx context.Context, set *settings, repo git.Repo, p plan, state stateFile) error {
	if !p.nothing() {
		state.Pending = &p.update
	}
	if err := state.write(m.Dir); err != nil {
		return err
	}
	m.state = state
	if m.state.Pending != nil {
		if err := m.carryOut(ctx, repo.Update); err != nil {
			return err
		}
	}
	m.publish(set, p.after, !p.nothing())
	return nil
}

// publish makes the mirror's state and these refs known to readers. Digesting
// thousands of refs takes a while: without a change it is not done again.
func (m *Mirror) publish(set *settings, l git.Listing, changed bool) {
	s := &Snapshot{
		Listing:   l,
		Outcome:   m.state.Outcome,
		Pulled:    m.state.Pulled,
		LastError: m.state.LastError,
		Origin:    m.state.origin(),
	}
	if s.Outcome == "" {
		s.Outcome = OutcomeUnknown
	}
	if s.Pulled.IsZero() {
		s.Changed = refsChanged(m.Dir)
	}
	if old := m.Snapshot(); changed || old == nil || !slices.Equal(m.digested, set.Refs) {
		s.Fingerprint = fingerprint(l, set.Refs)
		m.digested = set.Refs
	} else {
		s.Fingerprint = old.Fingerprint
	}
	m.snapshot.Store(s)
}

// fail notes that a pull failed: in the snapshot, and on disk if it is news.
func (m *Mirror) fail(reason error) error {
	s := *m.snapshot.Load()
	s.Outcome, s.LastError = OutcomeFailed, reason.Error()
	m.snapshot.Store(&s)
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

// wantsPull decides whether a GET pulls first: when the latest pull failed, when
// there was none since the start, or when the client insists; not when there is
// nothing to pull from, nor while a failed origin is left alone.
func wantsPull(s *Snapshot, set *settings, insists, pulled, ready bool) bool {
	switch {
	case !s.Origin.Known(), s.Origin.local && !set.unsecure:
		return false
	case insists, s.Outcome != OutcomeSuccess, !pulled:
		return ready
	default:
		return false
	}
}

// wantsPull applies the decision to the mirror as it is now.
func (m *Mirror) wantsPull(set *settings, insists bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return wantsPull(m.Snapshot(), set, insists, m.pulled, m.retry.ready(time.Now()))
}

// ended notes how a pull ended, for the decision about the next one.
func (m *Mirror) ended(set *settings, err error, posted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lacking)+len(m.sought) > maxLacking {
		clear(m.lacking)
	}
	for commit := range m.sought { // those that it did bring nobody will seek
		m.lacking[commit] = time.Now().Add(set.Retry)
	}
	clear(m.sought)
	switch {
	case err == nil:
		m.retry.reset()
		m.pulled = true
	case posted: // somebody knows that the origin has news
		m.retry.reset()
	default:
		m.retry.failed(time.Now(), set.Retry)
	}
}

// Bounds of what a mirror remembers of commits that clients asked about.
const (
	maxWithin  = 4096
	maxCommits = 4096
	maxLacking = 1024
)

// Contains reports whether a revision contains a commit. Both being fixed, the
// answer is remembered.
func (m *Mirror) Contains(ctx context.Context, set *settings, revision, commit string) (bool, error) {
	if revision == commit {
		return true, nil
	}
	key := [2]string{revision, commit}
	m.mu.Lock()
	answer, known := m.within[key]
	m.mu.Unlock()
	if known {
		return answer, nil
	}
	answer, err := set.git.Repo(m.Dir).IsAncestor(ctx, commit, revision)
	if errors.Is(err, git.ErrNotFound) {
		return false, nil // not yet: a pull may bring it
	}
	if err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.within == nil || len(m.within) >= maxWithin {
		m.within = make(map[[2]string]bool)
	}
	m.within[key] = answer
	return answer, nil
}

// Commit returns the commit that an object id leads to, and remembers it. If the
// mirror has none, the error is git.ErrNotFound.
func (m *Mirror) Commit(ctx context.Context, set *settings, id string) (string, error) {
	m.mu.Lock()
	commit, known := m.commits[id]
	m.mu.Unlock()
	if known {
		return commit, nil
	}
	commit, err := set.git.Repo(m.Dir).Commit(ctx, id)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.commits == nil || len(m.commits) >= maxCommits {
		m.commits = make(map[string]string)
	}
	m.commits[id] = commit
	return commit, nil
}

// seek notes that somebody looks for a commit that is lacking, and reports
// whether a pull is worth a try: not if one has just ended without bringing it.
func (m *Mirror) seek(commit string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.lacking[commit]) {
		return false
	}
	if m.sought == nil {
		m.sought, m.lacking = make(map[string]bool), make(map[string]time.Time)
	}
	if len(m.sought) < maxLacking {
		m.sought[commit] = true
	}
	return true
}
