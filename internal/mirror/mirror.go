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

// Mirror is one mirrored repository, as its readers see it. Its writer has it as a held.
type Mirror struct {
	Name storage.Name
	dir  string

	store    *Store
	identity storage.Identity // of the directory that was loaded
	seen     atomic.Int64     // when the directory was last looked at, in Unix nanoseconds
	snapshot atomic.Pointer[Snapshot]
	size     atomic.Int64 // bytes; see Size
	reads    reads

	unreadable reason      // why the mirror could not be loaded
	broken     atomic.Bool // whether that is damage, as far as can be told, and not a fault of the machine

	refs sync.RWMutex // held for writing while refs on disk change, for reading while git reads several

	loading   sync.Mutex // held while the mirror is read for the first time
	completed bool       // whether complete is done; guarded by loading

	disk disk // set by load; after that only held.go uses it

	health  health
	refresh refresh
	queries queryCache
}

// health is what is known about a mirror's objects.
type health struct {
	mu       sync.Mutex      // guards all below
	damage   error           // what the last check has found; nil for nothing, or if there was no check
	wholeAt  time.Time       // when a check found no damage
	recovery backoff.Backoff // of recoveries that no request has asked for
}

// ErrReplaced means that the mirror's directory is gone, or that another one has its place.
var ErrReplaced = storage.ErrReplaced

// Identity returns a text that tells the mirror's directory from any other at its place.
func (m *Mirror) Identity() string { return m.identity.String() }

func (m *Mirror) repo() git.Repo { return m.store.options.Load().Git.Repo(m.dir) }

// Snapshot returns what is known about the mirror now. It is nil before the first load.
func (m *Mirror) Snapshot() *Snapshot { return m.snapshot.Load() }

// Unreadable returns why the mirror could not be loaded. It is empty if the mirror was loaded,
// or if nobody has tried yet.
func (m *Mirror) Unreadable() string { return m.unreadable.String() }

// Size is what the mirror's packs and their indexes take on disk, in bytes, when they were last
// looked at: that is when the mirror is loaded, pulled and repacked. It costs nothing.
func (m *Mirror) Size() int64 { return m.size.Load() }

// measure looks at the sizes of the packs, without a process.
func (m *Mirror) measure() {
	if packs, err := m.repo().Inventory(); err == nil { // else a pull finds the reason
		m.size.Store(packs.Size())
	}
}

// checkIdentity checks that the mirror's directory is still the one that was loaded. The error
// may be ErrReplaced.
func (m *Mirror) checkIdentity() error {
	id, err := storage.Identify(m.dir)
	if err == nil && id != m.identity {
		err = ErrReplaced
	}
	return err
}

// stale reports whether somebody has changed refs of a mirror that was never pulled: it may
// have been loaded while an operator was still copying it in.
func (m *Mirror) stale() bool {
	snap := m.Snapshot()
	return !m.refresh.wasPulled() && snap != nil && !m.repo().HasStamp(snap.stamp)
}

// load reads the mirror from disk, once for all callers. It does not end when one of them goes
// away.
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
		err = markDamage(err)
		if err != nil && life.Err() == nil {
			m.setUnreadable(err)
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
	m.measure()
	m.setSnapshot(m.disk.publish(m.store.options.Load(), m.dir, nil, listing, stamp))
	return nil
}

// markDamage makes err a git.ErrDamaged if it means that a file of a mirror is missing or is
// another kind of thing.
func markDamage(err error) error {
	for _, sign := range []error{fs.ErrNotExist, syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP} {
		if errors.Is(err, sign) {
			return fmt.Errorf("%w: %w", git.ErrDamaged, err)
		}
	}
	return err
}

// complete reads the state file and completes the change that an interrupted pull was writing.
// This happens once, before anybody reads a ref, so that nobody sees a part of a change. The
// caller holds m.loading.
func (m *Mirror) complete(ctx context.Context, repo git.Repo) error {
	if m.completed {
		return nil
	}
	state, err := readState(m.dir)
	if err != nil {
		return err
	}
	if err := errors.Join(repo.Sweep(), os.RemoveAll(filepath.Join(m.dir, storage.StateFile+".new"))); err != nil {
		return err
	}
	if p := state.Pending; p != nil {
		l, err := repo.Refs(ctx)
		if err != nil {
			return err
		}
		if refsDigest(l.Refs) == p.Refs { // the new refs were written
			if err := repo.WriteHead(p.Head); err != nil {
				return err
			}
		}
		state.Pending = nil
		if err := state.write(m.dir); err != nil {
			return err
		}
	}
	m.disk.state, m.completed = state, true
	return nil
}

// setSnapshot makes snap the snapshot that readers see.
func (m *Mirror) setSnapshot(snap *Snapshot) {
	m.snapshot.Store(snap)
	m.unreadable.set(nil)
	m.store.generation.Add(m.Name)
}

// setUnreadable records why the mirror could not be loaded.
func (m *Mirror) setUnreadable(err error) {
	m.broken.Store(git.SuggestsDamage(err))
	if m.unreadable.set(err) {
		m.store.generation.Add(m.Name)
	}
}

// Archive writes a tar of a commit to w. An error of w is returned as it is.
func (m *Mirror) Archive(ctx context.Context, neutral git.Neutral, a git.Archive, w io.Writer) error {
	return m.repo().Tar(ctx, neutral, a, w)
}

// UploadPack writes git's answer to a request for objects, in that version of git's protocol.
// The request must be complete. An error of w is returned as it is.
func (m *Mirror) UploadPack(ctx context.Context, version int, request io.Reader, w io.Writer) error {
	return m.repo().UploadPack(ctx, version, request, w)
}

// Bundle writes refs of the mirror, and all that they lead to, as a bundle (git.Repo.Bundle).
func (m *Mirror) Bundle(ctx context.Context, l git.Listing, w io.Writer) error {
	return m.repo().Bundle(ctx, l, w)
}

// Packs counts the packs and the other files that the mirror has its objects in. It starts no
// process.
func (m *Mirror) Packs() (git.Packs, error) { return m.repo().Packs() }

// Advertise returns git's list of the mirror's refs, in that version of git's protocol. All of
// them are of one pull.
func (m *Mirror) Advertise(ctx context.Context, version int) ([]byte, error) {
	m.refs.RLock()
	defer m.refs.RUnlock()
	return m.repo().Advertise(ctx, version)
}

// ListRefs returns git's answer to a request for a list of refs in version 2 of git's protocol.
// All refs are of one pull.
func (m *Mirror) ListRefs(ctx context.Context, request io.Reader) ([]byte, error) {
	m.refs.RLock()
	defer m.refs.RUnlock()
	return m.repo().Answer(ctx, 2, request)
}

// knownDamage returns the damage that the last check has found, or nil.
func (h *health) knownDamage() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.damage
}

// record records what a check of all objects has found; nil for no damage.
func (h *health) record(damage error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.damage = damage; damage == nil {
		h.wholeAt = now
	}
}

// inherit goes on with the dates and the backoff of the mirror that this one replaces: the new
// one may be no better.
func (h *health) inherit(old *health) {
	old.mu.Lock()
	defer old.mu.Unlock()
	h.recovery, h.wholeAt = old.recovery, old.wholeAt
}

// RefsChanged is when the refs of a mirror that was pulled here last changed, as far as the dates of its
// files tell.
func (m *Mirror) RefsChanged() (latest time.Time) {
	for _, file := range []string{"HEAD", "packed-refs"} { // a pull has put all refs there
		if info, err := os.Stat(filepath.Join(m.dir, file)); err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	return latest
}

// refsChangedAt returns when a repository's refs last changed on disk.
func refsChangedAt(dir string) time.Time {
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
		return nil // skip what cannot be read
	})
	return latest
}
