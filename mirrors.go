package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/storage"
)

// Mirrors is the set of all mirrors in a storage. A mirror is found on disk when
// somebody asks for it, so that one can be copied in or removed by hand while
// the server runs.
type Mirrors struct {
	storage *storage.Dir
	log     *slog.Logger
	life    context.Context                                         // ends when the server shuts down
	changed func(set *settings, m *Mirror, before, after *Snapshot) // called after a pull that changed a mirror

	siblings *siblings

	pulls    coalesce.Group[storage.Name, pullVariant, Pulled]
	forPeers coalesce.Group[storage.Name, pullVariant, Pulled] // pulls that other servers ask for
	turns    turns                                             // to write to a mirror
	places   limiter.Limiter                                   // for transfers of objects
	lists    limiter.Limiter                                   // for asking an origin or a peer for its refs

	questions limiter.Limiter // for asking git what a client's words mean

	suspecting sync.Mutex // held while a mirror is checked because something has failed

	generation atomic.Uint64
	looked     chan struct{} // closed when all of the storage was looked through since the start
	wake       chan struct{} // has Watch look at once
	looking    sync.Mutex    // held while the storage is looked through

	mu     sync.Mutex // guards all below
	byName map[storage.Name]*Mirror
	sorted []*Mirror                    // of byName; nil if that has changed
	going  map[storage.Name][]*progress // of pulls that are running, the latest last
	claims map[storage.Name]*claim      // of names that requests to pull are about

	checking storage.Name          // the mirror whose packs are being read as a whole, if one is
	tending  map[storage.Name]bool // mirrors that are being written to, but by no pull
}

// NewMirrors returns the mirrors of a storage. Pulls end when life does.
func NewMirrors(life context.Context, dir *storage.Dir, siblings *siblings, log *slog.Logger) *Mirrors {
	ms := &Mirrors{
		storage: dir, log: log, life: life, siblings: siblings,
		changed: func(*settings, *Mirror, *Snapshot, *Snapshot) {},
		wake:    make(chan struct{}, 1),
		looked:  make(chan struct{}),
		byName:  make(map[storage.Name]*Mirror),
		going:   make(map[storage.Name][]*progress),
		claims:  make(map[storage.Name]*claim),
		tending: make(map[storage.Name]bool),
	}
	ms.lists.Resize(conn.ListBound(conn.DescriptorLimit()))
	ms.questions.Resize(maxQuestions)
	return ms
}

// errUnknownMirror is returned for a name that no mirror has.
var errUnknownMirror = errors.New("there is no such mirror")

// Get returns the mirror of that name, loaded. The error is errUnknownMirror, or
// says why the mirror cannot be read.
func (ms *Mirrors) Get(set *settings, name storage.Name) (*Mirror, error) {
	m, err := ms.find(set, name)
	if err == nil {
		err = m.load(ms.life, set)
	}
	if err != nil && !errors.Is(err, errUnknownMirror) {
		return nil, fmt.Errorf("can't read the mirror: %w", err)
	}
	return m, err
}

// find returns the mirror of that name as it is on disk now, or was a moment ago.
func (ms *Mirrors) find(set *settings, name storage.Name) (*Mirror, error) {
	for {
		now := time.Now()
		ms.mu.Lock()
		known := ms.byName[name]
		ms.mu.Unlock()
		if known != nil && justNow(known.seen.Load(), now, moment) {
			return known, nil
		}
		id, err := storage.Identify(ms.storage.MirrorDir(name))
		if err != nil {
			return nil, err
		}
		stale := known != nil && known.stale(set)

		ms.mu.Lock()
		if ms.byName[name] != known { // it has changed meanwhile
			ms.mu.Unlock()
			continue
		}
		defer ms.mu.Unlock()
		if known != nil && known.identity == id && (!stale || ms.going[name] != nil || ms.tending[name]) {
			known.seen.Store(now.UnixNano())
			return known, nil
		}
		if known != nil { // it was removed or replaced by hand
			delete(ms.byName, name)
			ms.remade()
		}
		if id == (storage.Identity{}) {
			return nil, errUnknownMirror
		}
		if ok, err := ms.storage.IsMirror(name); !ok {
			return nil, cmp.Or(err, errUnknownMirror)
		}
		return ms.add(name, id), nil
	}
}

// moment is how long a mirror is taken for what it was when last looked at: long
// enough for thousands of requests a second not to look each time, and too short
// for anybody to notice.
const moment = time.Millisecond

// justNow reports whether less time has passed since a moment, in nanoseconds, than that.
// One that is still to come is none: the clock was set back since.
func justNow(then int64, now time.Time, span time.Duration) bool {
	passed := now.Sub(time.Unix(0, then))
	return 0 <= passed && passed < span
}

// add enters a mirror that is on disk; ms.mu is held.
func (ms *Mirrors) add(name storage.Name, id storage.Identity) *Mirror {
	m := &Mirror{Name: name, Dir: ms.storage.MirrorDir(name), identity: id, generation: &ms.generation, questions: &ms.questions, log: ms.log}
	ms.byName[name] = m
	ms.remade()
	return m
}

// install makes a mirror that was built aside known, on disk and to readers in
// one step. A mirror that it replaces is in the staging directory then or, if it is to be
// spared, in the trash.
func (ms *Mirrors) install(name storage.Name, staging string, built *Mirror, spare bool) (*Mirror, error) {
	if err := storage.SyncTree(staging); err != nil {
		return nil, err
	}
	ms.mu.Lock()
	old, err := ms.storage.Install(staging, name, spare)
	var id storage.Identity
	if err == nil {
		id, err = storage.Identify(ms.storage.MirrorDir(name))
	}
	if err == nil {
		built.Dir, built.identity, built.recovered, built.pulled = ms.storage.MirrorDir(name), id, true, true
		built.generation, built.questions, built.log = &ms.generation, &ms.questions, ms.log
		ms.byName[name] = built
		ms.remade()
	}
	ms.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if spare && old != "" {
		ms.log.Warn("the old mirror could not be read in full, and is kept", "mirror", name, "to", old)
	}
	return built, ms.storage.SyncPlace(name)
}

// Refresh pulls before a GET if the contract says so, and waits for it as long
// as the patience lasts. Whatever comes of it, the mirror's snapshot is then the
// best there is. An insisting client is not content with a pull that is running.
func (ms *Mirrors) Refresh(ctx context.Context, set *settings, m *Mirror, insists bool) {
	if !m.wantsPull(set, insists) {
		return
	}
	patience := set.Patience
	if p := ms.Progress(m.Name); p != nil && !insists {
		patience -= time.Since(p.began) // others have waited for it already
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req := pullRequest{Name: m.Name}
	work := func() (Pulled, error) { return ms.pull(set, req) }
	if insists {
		_, _ = ms.pulls.Do(ctx, m.Name, req.variant(set), work)
	} else {
		_, _ = ms.pulls.Join(ctx, m.Name, req.variant(set), work)
	}
}

// LookFor pulls for a commit that a mirror lacks, unless that was tried a moment
// ago. It waits for it as long as the patience lasts of a client that came then.
func (ms *Mirrors) LookFor(ctx context.Context, set *settings, m *Mirror, commit string, came time.Time) {
	if !m.wantsPull(set, true) || !m.seek(commit) {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, came.Add(set.Patience))
	defer cancel()
	req := pullRequest{Name: m.Name}
	_, _ = ms.pulls.Do(ctx, m.Name, req.variant(set), func() (Pulled, error) { return ms.pull(set, req) })
}

// Wait returns when no pull is running any more.
func (ms *Mirrors) Wait() {
	ms.pulls.Wait()
	ms.forPeers.Wait()
}
