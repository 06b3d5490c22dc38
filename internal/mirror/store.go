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

	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/keylock"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// Options are what a store reads of the configuration. They are never changed once they are
// in force: Configure replaces them, and a pull keeps those that it began with.
type Options struct {
	Git          *git.Git
	Refs         []refs.Pattern // what a mirror contains
	Origins      origin.Policy  // which origins may be read
	FetchTimeout time.Duration  // of one clone or fetch
	ListTimeout  time.Duration  // within which a source must have listed its refs
	Patience     time.Duration  // the longest that a reader waits for a pull
	Retry        time.Duration  // after a failed pull, before a reader starts another one
	Keep         time.Duration  // how long what an origin has replaced is retained; 0 for not at all
	MaxFetches   int            // transfers of objects at once
}

// Parts are what a store is made of, beside its options.
type Parts struct {
	Dir      *storage.Dir
	Log      *slog.Logger
	Fallback Fallback // where a mirror can be had whose origin cannot be reached
	MaxLists int      // sources that are asked for their refs at once

	// Changed is called after a pull that has changed a mirror, by who holds its lock.
	Changed func(m *Mirror, before, after *Snapshot)
}

// Store is the set of all mirrors in a directory. Its methods are safe for concurrent use.
type Store struct {
	dir      *storage.Dir
	log      *slog.Logger
	fallback Fallback
	changed  func(m *Mirror, before, after *Snapshot)

	life    context.Context // ends when the server shuts down
	options atomic.Pointer[Options]

	pulls    coalesce.Group[storage.Name, variant, Result]
	forPeers coalesce.Group[storage.Name, variant, Result] // pulls that other servers ask for
	locks    keylock.Locks[storage.Name]                   // to write to a mirror
	fetches  limiter.Limiter                               // of transfers of objects
	lists    limiter.Limiter                               // of asking a source for its refs
	queries  limiter.Limiter                               // of asking git what a reader's words mean

	suspecting sync.Mutex // held while a mirror is checked because something has failed

	generation atomic.Uint64
	ready      chan struct{} // closed when all of the directory was looked through since the start
	wake       chan struct{} // has Watch look at once
	looking    sync.Mutex    // held while the directory is looked through

	fault atomic.Pointer[string] // why the storage could not be used when it was last looked at; nil for nothing

	mu         sync.Mutex // guards all below
	byName     map[storage.Name]*Mirror
	sorted     []*Mirror                    // of byName; nil if that has changed
	running    map[storage.Name][]*Progress // pulls, the latest last
	reserved   map[storage.Name]*reservation
	checking   storage.Name          // the mirror whose packs are being read as a whole, if one is
	maintained map[storage.Name]bool // mirrors that are being written to, but by no pull
}

// NewStore returns the mirrors of a directory. Pulls end when life does.
func NewStore(life context.Context, parts Parts, options *Options) *Store {
	s := &Store{
		dir: parts.Dir, log: parts.Log, fallback: parts.Fallback, changed: parts.Changed,
		life:       life,
		wake:       make(chan struct{}, 1),
		ready:      make(chan struct{}),
		byName:     make(map[storage.Name]*Mirror),
		running:    make(map[storage.Name][]*Progress),
		reserved:   make(map[storage.Name]*reservation),
		maintained: make(map[storage.Name]bool),
	}
	s.lists.Resize(parts.MaxLists)
	s.queries.Resize(maxQueries)
	s.Configure(options)
	return s
}

// Configure puts options in force.
func (s *Store) Configure(options *Options) {
	s.fetches.Resize(options.MaxFetches)
	s.options.Store(options)
	s.generation.Add(1) // they are part of what is told of mirrors
}

// ErrUnknown is returned for a name that no mirror has.
var ErrUnknown = errors.New("there is no such mirror")

// ErrClosing is why pulls end when the server shuts down.
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

// LastKnown is what is known of a mirror that cannot be read: what was read before, or what its
// own file says. It is nil if that is nothing.
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
		snap.Changed = refsChanged(dir)
	}
	return snap.with(&state)
}

// CheckStorage checks that the storage is the one that the server has opened: in any other
// there is nothing of ours, and a mirror that is not found there is not gone. Mirrors stay
// known meanwhile. It costs two stats.
func (s *Store) CheckStorage() error {
	err := s.dir.CheckOwned()
	var why *string
	if err != nil {
		text := err.Error()
		why = &text
	}
	if before := s.fault.Swap(why); (before == nil) != (why == nil) || why != nil && *before != *why {
		s.generation.Add(1)
		s.Wake() // it tells the log
	}
	return err
}

// find returns the mirror of that name as it is on disk now, or was a moment ago.
func (s *Store) find(name storage.Name) (*Mirror, error) {
	for {
		now := time.Now()
		s.mu.Lock()
		known := s.byName[name]
		s.mu.Unlock()
		if known != nil && justNow(known.seen.Load(), now, moment) {
			return known, nil
		}
		id, err := storage.Identify(s.dir.MirrorDir(name))
		if err != nil {
			return nil, err
		}
		stale := known != nil && known.stale()
		if known == nil || known.identity != id {
			if err := s.CheckStorage(); err != nil { // then there is nothing to be learnt from it
				return nil, err
			}
		}

		s.mu.Lock()
		if s.byName[name] != known { // it has changed meanwhile
			s.mu.Unlock()
			continue
		}
		defer s.mu.Unlock()
		if known != nil && known.identity == id && (!stale || s.running[name] != nil || s.maintained[name]) {
			known.seen.Store(now.UnixNano())
			return known, nil
		}
		if known != nil { // it was removed or replaced by hand
			delete(s.byName, name)
			s.remade()
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

// moment is how long a mirror is taken for what it was when last looked at: long
// enough for thousands of requests a second not to look each time, and too short
// for anybody to notice.
const moment = time.Millisecond

// justNow reports whether less time has passed since a moment, in nanoseconds, than that.
// A moment that is still to come does not count: the clock was set back since.
func justNow(then int64, now time.Time, span time.Duration) bool {
	passed := now.Sub(time.Unix(0, then))
	return 0 <= passed && passed < span
}

// add enters a mirror that is on disk; s.mu is held.
func (s *Store) add(name storage.Name, id storage.Identity) *Mirror {
	m := &Mirror{Name: name, Dir: s.dir.MirrorDir(name), store: s, identity: id}
	s.byName[name] = m
	s.remade()
	return m
}

// isCurrent checks that this is the mirror that everybody uses under its name.
func (s *Store) isCurrent(m *Mirror) error {
	now, err := s.find(m.Name)
	if err == nil && now != m {
		err = ErrReplaced
	}
	return err
}

// install makes a mirror that was built aside known, on disk and to readers in one step, in the
// place of the one that is meant, or where there is none. The replaced one goes or, if spare
// says so of the directory where it is then, stays in the trash.
func (s *Store) install(staging string, built *Mirror, meant storage.Identity, spare func(replaced string) bool) error {
	if err := storage.SyncTree(staging); err != nil {
		return err
	}
	id, err := storage.Identify(staging) // not later: somebody may put another one in its place
	if err != nil {
		return err
	}
	s.mu.Lock()
	old, err := s.dir.Install(staging, built.Name, meant)
	if err == nil {
		built.Dir, built.identity = s.dir.MirrorDir(built.Name), id
		built.completed, built.refresh.pulled = true, true
		s.byName[built.Name] = built
		s.remade()
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.dir.SyncPlace(built.Name); err != nil || old == "" { // not while readers wait for mu
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

// All returns the mirrors that are known, sorted by name. One that was not read yet, or
// cannot be, has no snapshot. The slice is shared and must not be changed.
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

// Generation is another number each time after anything has changed that is told of mirrors.
// Whoever wants to know whether something has changed since he looked must ask for it before
// he looks.
func (s *Store) Generation() uint64 { return s.generation.Load() }

// remade notes that the set of mirrors has changed; s.mu is held.
func (s *Store) remade() {
	s.sorted = nil
	s.generation.Add(1)
}

// Wait returns when no pull is running any more.
func (s *Store) Wait() {
	s.pulls.Wait()
	s.forPeers.Wait()
}
