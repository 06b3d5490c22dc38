package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// Mirror is one mirrored repository, as its readers see it: what is known of it is its
// snapshot. Who writes to it has it as a held.
type Mirror struct {
	Name storage.Name
	Dir  string

	store    *Store
	identity storage.Identity // of the directory that was loaded
	seen     atomic.Int64     // when the directory was last looked at, in nanoseconds
	snapshot atomic.Pointer[Snapshot]
	// unreadable is why the mirror has no snapshot, if that was tried.
	unreadable atomic.Pointer[string]

	refs sync.RWMutex // held for writing while refs on disk change, for reading while several are read

	loading   sync.Mutex // held while the mirror is read for the first time
	completed bool       // what an interrupted pull left was completed; guarded by loading

	disk disk // made by load, and then only for held.go

	health  health
	refresh refresh
	queries queryCache
}

// health is what is known of a mirror's objects.
type health struct {
	mu       sync.Mutex      // guards all below
	damage   error           // what a check has found; nil for nothing, or if there was none
	whole    time.Time       // when a check found nothing
	recovery backoff.Backoff // of attempts to recover what readers have met with
}

// ErrReplaced is why work on a mirror ends that is not there any more.
var ErrReplaced = storage.ErrReplaced

// Identity tells the mirror's directory from others that have its place later.
func (m *Mirror) Identity() string { return m.identity.String() }

// repo is the mirror in git's terms.
func (m *Mirror) repo() git.Repo { return m.store.options.Load().Git.Repo(m.Dir) }

// Snapshot is what is known of the mirror now. It is nil before the first load.
func (m *Mirror) Snapshot() *Snapshot { return m.snapshot.Load() }

// Unreadable is why the mirror has no snapshot, or empty if that was not tried yet.
func (m *Mirror) Unreadable() string {
	if why := m.unreadable.Load(); why != nil {
		return *why
	}
	return ""
}

// same checks that the mirror's directory is still the one that was loaded.
func (m *Mirror) same() error {
	id, err := storage.Identify(m.Dir)
	if err == nil && id != m.identity {
		err = ErrReplaced
	}
	return err
}

// stale reports whether somebody has written refs of a mirror that was not pulled
// since it was read: it may have been copied in while it was read.
func (m *Mirror) stale() bool {
	snap := m.Snapshot()
	return !m.refresh.wasPulled() && snap != nil && snap.stamp != m.repo().Stamp()
}

// load reads a mirror from disk, once. It serves all who ask, and does not end when
// one of them goes away.
func (m *Mirror) load() (err error) {
	if m.Snapshot() != nil {
		return nil
	}
	m.loading.Lock()
	defer m.loading.Unlock()
	if m.Snapshot() != nil {
		return nil
	}
	life := m.store.life
	defer func() {
		err = orDamage(err)
		if err != nil && life.Err() == nil {
			m.cannotRead(err)
		}
	}()
	repo := m.repo()
	if err := m.complete(life, repo); err != nil {
		return err
	}
	state := &m.disk.state
	if state.Origin == "" {
		url, err := repo.Origin(life)
		if err != nil {
			return err
		}
		if from, err := origin.Parse(url, true); err == nil {
			state.setOrigin(from)
		}
	}
	stamp := repo.Stamp()
	listing, err := repo.Refs(life)
	if err != nil {
		return err
	}
	if damage := state.damage(); damage != nil {
		m.health.record(damage, time.Now())
	}
	m.show(m.disk.publish(m.store.options.Load(), m.Dir, nil, listing, stamp))
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

// complete reads the state and completes what an interrupted pull left unfinished, once and
// before anybody reads a ref, so that nobody sees a part of it; m.loading is held.
func (m *Mirror) complete(ctx context.Context, repo git.Repo) error {
	if m.completed {
		return nil
	}
	state, err := readState(m.Dir)
	if err != nil {
		return err
	}
	if err := errors.Join(repo.Sweep(), os.RemoveAll(filepath.Join(m.Dir, storage.StateFile+".new"))); err != nil {
		return err
	}
	if p := state.Pending; p != nil {
		l, err := repo.Refs(ctx)
		if err != nil {
			return err
		}
		if digest(l.Refs) == p.Refs { // the refs are the new ones
			if err := repo.WriteHead(p.Head); err != nil {
				return err
			}
		}
		state.Pending = nil
		if err := state.write(m.Dir); err != nil {
			return err
		}
	}
	m.disk.state, m.completed = state, true
	return nil
}

// show makes a snapshot the one that readers see.
func (m *Mirror) show(snap *Snapshot) {
	m.snapshot.Store(snap)
	m.unreadable.Store(nil)
	m.store.generation.Add(1)
}

// cannotRead notes why a mirror could not be read.
func (m *Mirror) cannotRead(reason error) {
	text := reason.Error()
	if old := m.unreadable.Swap(&text); old == nil || *old != text {
		m.store.generation.Add(1)
	}
}

// Archive has git write a tar of a commit. An error of w is returned as it is.
func (m *Mirror) Archive(ctx context.Context, neutral git.Neutral, a git.Archive, w io.Writer) error {
	return m.repo().Tar(ctx, neutral, a, w)
}

// UploadPack has git answer a request for objects, which must be all there, in that version of
// its protocol. An error of w is returned as it is.
func (m *Mirror) UploadPack(ctx context.Context, version int, request io.Reader, w io.Writer) error {
	return m.repo().UploadPack(ctx, version, request, w)
}

// Packs looks how the mirror's objects lie on disk, without a process.
func (m *Mirror) Packs() (git.Packs, error) { return m.repo().Packs() }

// Advertise has git list the mirror's refs, all of one pull, in that version of its protocol.
func (m *Mirror) Advertise(ctx context.Context, version int) ([]byte, error) {
	m.refs.RLock()
	defer m.refs.RUnlock()
	return m.repo().Advertise(ctx, version)
}

// ListRefs has git answer a request of version 2 of its protocol for a list of refs, all of one
// pull. The lock is not held for as long as a client takes to read it.
func (m *Mirror) ListRefs(ctx context.Context, request io.Reader) ([]byte, error) {
	m.refs.RLock()
	defer m.refs.RUnlock()
	return m.repo().Answer(ctx, 2, request)
}

// known is what a check has found to be broken, or nil.
func (h *health) known() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.damage
}

// record notes what a check of all objects has found.
func (h *health) record(damage error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.damage = damage; damage == nil {
		h.whole = now
	}
}

// inherit goes on from where the health of a mirror was whose place this one takes: what was
// built may be no better.
func (h *health) inherit(old *health) {
	old.mu.Lock()
	defer old.mu.Unlock()
	h.recovery, h.whole = old.recovery, old.whole
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
