package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/changes"
	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/keylock"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
)

// Options are the part of the configuration that a store uses. Nobody changes them once they
// are in force: Configure replaces them, and a pull keeps those that it began with.
type Options struct {
	Git          *git.Git
	Refs         []refs.Pattern // what a mirror contains
	Origins      origin.Policy  // which origins may be read
	FetchTimeout time.Duration  // for one clone or fetch
	ListTimeout  time.Duration  // for a source to list its refs
	Patience     time.Duration  // the longest that a reader waits for a pull
	Retry        time.Duration  // pause before a reader pulls again after a failed pull
	Keep         time.Duration  // how long replaced and deleted refs are retained; 0 for not at all
	MaxFetches   int            // transfers of objects at the same time

	// MaxAge tells how long readers of a mirror take what an origin was seen to have without another
	// look at it. ok is false for a mirror that is only pulled when somebody asks; nil for all mirrors.
	MaxAge func(name storage.Name) (age time.Duration, ok bool)

	// Public reports whether the origin of a mirror must be at a public address; nil for none.
	Public func(storage.Name) bool
}

// maxAge is MaxAge, which may be nil.
func (o *Options) maxAge(name storage.Name) (age time.Duration, ok bool) {
	if o.MaxAge == nil {
		return 0, false
	}
	return o.MaxAge(name)
}

// Parts are what a store is made of, beside its options.
type Parts struct {
	Dir      *storage.Dir
	Log      *slog.Logger
	Fallback Fallback     // finds replicas when an origin cannot be reached
	MaxLists int          // requests for a source's refs at the same time
	Spool    *spool.Cache // for packs that readers follow while they come; nil for none
	Room     Room         // bounds mirrors that reads have made; nil for no bounds

	// Changed is called after a pull that has changed a mirror, while its lock is still held. Of
	// a mirror that the pull has built, new or in place of another one, before is nil.
	Changed func(m *Mirror, before, after *Snapshot)

	// Removed is called after a mirror was removed because somebody has asked for that at a time, while its
	// lock is still held. It may be nil.
	Removed func(name storage.Name, at time.Time)
}

// Store is the set of all mirrors in a directory. Its methods are safe for concurrent use.
type Store struct {
	dir      *storage.Dir
	log      *slog.Logger
	fallback Fallback
	room     Room // nil for no bounds
	changed  func(m *Mirror, before, after *Snapshot)
	removed  func(name storage.Name, at time.Time) // may be nil
	spool    *spool.Cache                          // may be nil
	received atomic.Uint64                         // packs in it, so far

	life    context.Context // ends when the server shuts down
	options atomic.Pointer[Options]

	pulls    coalesce.Group[storage.Name, variant, Result]
	forPeers coalesce.Group[storage.Name, variant, Result] // pulls that other servers ask for
	locks    keylock.Locks[storage.Name]                   // a mirror's writer holds the lock of its name
	fetches  limiter.Limiter                               // bounds transfers and checks of objects
	lists    limiter.Limiter                               // bounds requests for a source's refs
	queries  limiter.Limiter                               // bounds git's answers about commits

	checkingSuspect sync.Mutex // held while a mirror is checked because something has failed

	pauses     pauses
	generation changes.Feed[storage.Name] // of what the status shows of mirrors
	moves      changes.Feed[storage.Name] // of how far pulls are
	journals   journals
	ready      chan struct{} // closed when the first scan has ended
	wake       chan struct{} // has an element when Watch shall scan at once
	scanning   sync.Mutex    // held while the storage is scanned

	counts counts
	fault  reason // why the storage could not be used when it was last checked

	mu         sync.Mutex // guards all below
	byName     map[storage.Name]*Mirror
	sorted     []*Mirror                    // of byName; nil if byName has changed
	running    map[storage.Name][]*Progress // pulls, the latest last
	growing    map[storage.Name]*Growing
	reserved   map[storage.Name]*reservation
	checking   storage.Name          // the mirror that Check reads; zero for none
	maintained map[storage.Name]bool // mirrors with a writer that is no pull
}

// NewStore returns the store of a directory's mirrors. Pulls end when life does.
func NewStore(life context.Context, parts Parts, options *Options) *Store {
	s := &Store{
		dir: parts.Dir, log: parts.Log, fallback: parts.Fallback, changed: parts.Changed, removed: parts.Removed, spool: parts.Spool, room: parts.Room,
		life:       life,
		wake:       make(chan struct{}, 1),
		ready:      make(chan struct{}),
		byName:     make(map[storage.Name]*Mirror),
		running:    make(map[storage.Name][]*Progress),
		growing:    make(map[storage.Name]*Growing),
		reserved:   make(map[storage.Name]*reservation),
		maintained: make(map[storage.Name]bool),
	}
	s.lists.Resize(parts.MaxLists)
	s.queries.Resize(maxQueries)
	s.Configure(options)
	s.readPauses()
	return s
}

// Configure puts options in force.
func (s *Store) Configure(options *Options) {
	s.fetches.Resize(options.MaxFetches)
	s.options.Store(options)
	s.generation.AddAll() // the status of mirrors depends on them
}

// ErrUnknown means that no mirror has the name.
var ErrUnknown = errors.New("there is no such mirror")

// ErrClosing means that the shutdown of the server has ended a pull.
var ErrClosing = errors.New("the server is shutting down")

// Get returns the mirror of that name, loaded. The error is ErrUnknown, or says why the
// mirror cannot be read.
func (s *Store) Get(name storage.Name) (*Mirror, error) {
	m, err := s.find(name)
	if err == nil {
		err = m.load()
	}
	if err != nil && !errors.Is(err, ErrUnknown) {
		return nil, fmt.Errorf("can't read the mirror: %w", err)
	}
	return m, err
}

// LastKnown returns what is known about a mirror that cannot be read: its last snapshot, or one
// made of its state file. It is nil if there is neither.
func (s *Store) LastKnown(name storage.Name) *Snapshot {
	s.mu.Lock()
	known := s.byName[name]
	s.mu.Unlock()
	if known != nil && known.Snapshot() != nil {
		return known.Snapshot()
	}
	if s.dir.CheckOwned() != nil {
		return nil
	}
	dir := s.dir.MirrorDir(name)
	state, err := readState(dir)
	if err != nil {
		return nil
	}
	snap := Snapshot{}
	if state.Pulled.IsZero() {
		snap.changed = refsChangedAt(dir)
	}
	return snap.withState(&state)
}

// CheckStorage checks that the storage is still the one that the server has opened. In another
// one, a mirror that is not found is not gone; the store goes on knowing its mirrors meanwhile.
// The check costs two stats.
func (s *Store) CheckStorage() error {
	err := s.dir.CheckOwned()
	if s.fault.set(err) {
		s.generation.AddAll()
		s.Wake() // the scan logs the error
	}
	return err
}

// reason is why something cannot be used, in words; empty if it can be used. The zero value is
// empty.
type reason struct{ text atomic.Value } // a string

// set takes the reason from err, which may be nil, and reports whether it has changed.
func (r *reason) set(err error) (changed bool) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	old, _ := r.text.Swap(text).(string)
	return old != text
}

func (r *reason) String() string {
	text, _ := r.text.Load().(string)
	return text
}

// find returns the mirror of that name as it was on disk at most statInterval ago. The mirror
// need not be loaded. The error may be ErrUnknown.
func (s *Store) find(name storage.Name) (*Mirror, error) {
	for {
		now := time.Now()
		s.mu.Lock()
		known := s.byName[name]
		s.mu.Unlock()
		if known != nil && isRecent(known.seen.Load(), now, statInterval) {
			return known, nil
		}
		id, err := storage.Identify(s.dir.MirrorDir(name))
		if err != nil {
			return nil, err
		}
		stale := known != nil && known.stale()
		if known == nil || known.identity != id {
			if err := s.CheckStorage(); err != nil { // then id means nothing
				return nil, err
			}
		}

		s.mu.Lock()
		if s.byName[name] != known { // somebody else was faster
			s.mu.Unlock()
			continue
		}
		defer s.mu.Unlock()
		if known != nil && known.identity == id && (!stale || s.running[name] != nil || s.maintained[name]) {
			known.seen.Store(now.UnixNano())
			return known, nil
		}
		if known != nil { // an operator has removed, replaced or changed it
			delete(s.byName, name)
			s.mirrorsChanged(name)
		}
		if id == (storage.Identity{}) {
			return nil, ErrUnknown
		}
		if ok, err := s.dir.IsMirror(name); !ok {
			return nil, cmp.Or(err, ErrUnknown)
		}
		return s.add(name, id), nil
	}
}

// statInterval is how long the result of a stat of a mirror's directory is used: long enough to
// save stats at thousands of requests a second, too short for anybody to notice.
const statInterval = time.Millisecond

// isRecent reports whether then, in Unix nanoseconds, is less than span ago. A time in the
// future is not recent: the clock was set back since.
func isRecent(then int64, now time.Time, span time.Duration) bool {
	passed := now.Sub(time.Unix(0, then))
	return 0 <= passed && passed < span
}

// add makes a mirror on disk known. The caller holds s.mu.
func (s *Store) add(name storage.Name, id storage.Identity) *Mirror {
	m := &Mirror{Name: name, dir: s.dir.MirrorDir(name), store: s, identity: id}
	s.byName[name] = m
	s.mirrorsChanged(name)
	return m
}

// checkCurrent checks that m is still the mirror of its name. The error may be ErrReplaced.
func (s *Store) checkCurrent(m *Mirror) error {
	now, err := s.find(m.Name)
	if err == nil && now != m {
		err = ErrReplaced
	}
	return err
}

// install moves a mirror from its staging directory to its place and makes it known to readers,
// in one step. It replaces the mirror with the identity expected, which is zero for none. The
// replaced mirror is in the trash then: it is removed, unless spare says that its directory must
// stay there.
func (s *Store) install(staging string, built *Mirror, expected storage.Identity, spare func(replaced string) bool) error {
	if err := storage.SyncTree(staging); err != nil {
		return err
	}
	id, err := storage.Identify(staging) // now: after the move, somebody may replace it
	if err != nil {
		return err
	}
	s.mu.Lock()
	old, err := s.dir.Install(staging, built.Name, expected)
	if err == nil {
		built.dir, built.identity = s.dir.MirrorDir(built.Name), id
		built.completed = true
		s.byName[built.Name] = built
		s.mirrorsChanged(built.Name)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.dir.SyncPlace(built.Name); err != nil || old == "" { // without mu, for which readers wait
		return err
	}
	if err := s.dir.SyncTrash(built.Name, old); err != nil {
		return err
	}
	if spare(old) {
		s.log.Warn("the old mirror may have what the new one has not, and is kept", "mirror", built.Name, "to", old)
	} else if err := s.dir.Discard(old); err != nil {
		s.log.Error("can't remove a mirror that was replaced", "mirror", built.Name, "directory", old, "err", err)
	}
	return nil
}

// All returns the known mirrors, sorted by name. A mirror that was not loaded yet, or cannot
// be, has no snapshot. The slice is shared and must not be changed.
func (s *Store) All() []*Mirror {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sorted == nil {
		s.sorted = make([]*Mirror, 0, len(s.byName))
		for _, m := range s.byName {
			s.sorted = append(s.sorted, m)
		}
		slices.SortFunc(s.sorted, func(a, b *Mirror) int { return a.Name.Compare(b.Name) })
	}
	return s.sorted
}

// Generation returns a number that changes after each change of what the status shows of
// mirrors. To notice later changes, get the number before reading the status.
func (s *Store) Generation() uint64 { return s.generation.Count() }

// After returns a channel that is closed when Generation returns another number than this one.
func (s *Store) After(generation uint64) <-chan struct{} { return s.generation.After(generation) }

// AfterOf returns a channel that is closed when that mirror has changed after Generation returned this
// number.
func (s *Store) AfterOf(name storage.Name, generation uint64) <-chan struct{} {
	return s.generation.AfterOf(name, generation)
}

// Since returns the names of the mirrors that have changed, have come or have gone after Generation returned
// this number. If that is not known any more, ok is false.
func (s *Store) Since(generation uint64) (names []storage.Name, ok bool) {
	return s.generation.Since(generation)
}

// mirrorsChanged must be called after a change of what byName has under a name. The caller holds s.mu.
func (s *Store) mirrorsChanged(name storage.Name) {
	s.sorted = nil
	s.generation.Add(name)
}

// Wait returns when no pull is running.
func (s *Store) Wait() {
	s.pulls.Wait()
	s.forPeers.Wait()
}
