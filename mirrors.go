package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/coalesce"
)

// Mirrors is the set of all mirrors in a storage. A mirror is found on disk when
// somebody asks for it, so that one can be copied in or removed by hand while
// the server runs.
type Mirrors struct {
	storage *Storage
	log     *slog.Logger
	life    context.Context                                         // ends when the server shuts down
	changed func(set *settings, m *Mirror, before, after *Snapshot) // called after a pull that changed a mirror

	pulls  coalesce.Group[Name, pullVariant, Pulled]
	places gate // for transfers of objects

	mu       sync.Mutex // guards all below
	byName   map[Name]*Mirror
	going    map[Name]*progress // of pulls that are running
	creating map[Name]bool      // mirrors that are being built
}

// NewMirrors returns the mirrors of a storage. Pulls end when life does.
func NewMirrors(life context.Context, storage *Storage, log *slog.Logger) *Mirrors {
	return &Mirrors{
		storage: storage, log: log, life: life,
		changed:  func(*settings, *Mirror, *Snapshot, *Snapshot) {},
		byName:   make(map[Name]*Mirror),
		going:    make(map[Name]*progress),
		creating: make(map[Name]bool),
	}
}

// errUnknownMirror is returned for a name that no mirror has.
var errUnknownMirror = errors.New("there is no such mirror")

// Get returns the mirror of that name, loaded. The error is errUnknownMirror, or
// says why the mirror cannot be read.
func (ms *Mirrors) Get(ctx context.Context, set *settings, name Name) (*Mirror, error) {
	m, err := ms.find(name)
	if err != nil {
		return nil, err
	}
	if err := m.load(ctx, set); err != nil {
		return nil, fmt.Errorf("can't read the mirror: %w", err)
	}
	return m, nil
}

// find returns the mirror of that name as it is on disk now, or was a moment ago.
func (ms *Mirrors) find(name Name) (*Mirror, error) {
	now := time.Now()
	ms.mu.Lock()
	m := ms.byName[name]
	ms.mu.Unlock()
	if m != nil && now.Sub(time.Unix(0, m.seen.Load())) < moment {
		return m, nil
	}
	id := identify(ms.storage.MirrorDir(name))

	ms.mu.Lock()
	defer ms.mu.Unlock()
	if m = ms.byName[name]; m != nil && m.identity == id {
		m.seen.Store(now.UnixNano())
		return m, nil
	}
	delete(ms.byName, name) // it was removed or replaced by hand
	if id == (identity{}) || !ms.storage.IsMirror(name) {
		return nil, errUnknownMirror
	}
	return ms.add(name, id), nil
}

// moment is how long a mirror is taken for what it was when last looked at: long
// enough for thousands of requests a second not to look each time, and too short
// for anybody to notice.
const moment = time.Millisecond

// add enters a mirror that is on disk; ms.mu is held.
func (ms *Mirrors) add(name Name, id identity) *Mirror {
	m := &Mirror{Name: name, Dir: ms.storage.MirrorDir(name), identity: id}
	ms.byName[name] = m
	return m
}

// Recover clears away what an interrupted daemon left in any mirror. Nobody need
// wait for it: a mirror that is asked for meanwhile is recovered first.
func (ms *Mirrors) Recover(set *settings) error {
	return ms.storage.Names(func(name Name) {
		m, err := ms.find(name)
		if err == nil {
			err = m.Recover(ms.life, set)
		}
		if err != nil && ms.life.Err() == nil {
			ms.log.Error("can't recover a mirror", "mirror", name, errTree(err))
		}
	})
}

// conflict is the reason for which a mirror cannot be created or updated as
// asked: what is there already stands against it.
type conflict struct{ reason string }

func (c *conflict) Error() string { return c.reason }

// Admit checks whether a request to pull can be carried out at all. The error is
// a *conflict, or says why the mirror cannot be read.
func (ms *Mirrors) Admit(ctx context.Context, set *settings, req pullRequest) error {
	m, err := ms.Get(ctx, set, req.Name)
	if errors.Is(err, errUnknownMirror) {
		return ms.vacant(req.Name)
	}
	if err != nil {
		return err
	}
	return sameOrigin(m.Snapshot().Origin, req)
}

// sameOrigin checks that a request means the mirror that is there, or names its
// old origin in order to give it a new one.
func sameOrigin(stored Origin, req pullRequest) error {
	switch {
	case !stored.Known(), !req.Origin.Known(), stored.Same(req.Origin):
		return nil
	case req.Move.Known() && stored.Same(req.Move):
		return nil
	case req.Move.Known():
		return &conflict{fmt.Sprintf("the mirror's origin is %s, not %s as move= says", stored, req.Move)}
	default:
		return &conflict{fmt.Sprintf(
			"the mirror exists with the origin %s. If it is to follow %s from now on, POST again with move=%s",
			stored, req.Origin, stored)}
	}
}

// vacant checks that a mirror of that name could be created: that the name lies
// neither inside another mirror nor above one.
func (ms *Mirrors) vacant(name Name) error {
	for _, above := range name.Above() {
		if ms.storage.IsMirror(above) || ms.isCreating(above) {
			return &conflict{fmt.Sprintf("the name lies inside the mirror %s", above)}
		}
	}
	if inside, ok := ms.inside(name); ok {
		return &conflict{fmt.Sprintf("the name lies above the mirror %s", inside)}
	}
	info, err := os.Lstat(ms.storage.MirrorDir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		return &conflict{"there is something else in its place"}
	}
	return err
}

// inside returns a mirror below that name, if there is one.
func (ms *Mirrors) inside(name Name) (found Name, ok bool) {
	ms.mu.Lock()
	for other := range ms.creating {
		if other.Inside(name) {
			found, ok = other, true
		}
	}
	ms.mu.Unlock()
	if ok {
		return found, true
	}
	err := ms.storage.NamesBelow(name, func(other Name) { found, ok = other, true })
	return found, ok && err == nil
}

func (ms *Mirrors) isCreating(name Name) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.creating[name]
}

// claim reserves a name for a mirror that is to be built, so that no two are
// built of which one would lie inside the other. It must be released.
func (ms *Mirrors) claim(name Name) error {
	ms.mu.Lock()
	ms.creating[name] = true
	ms.mu.Unlock()
	if err := ms.vacant(name); err != nil {
		ms.release(name)
		return err
	}
	return nil
}

func (ms *Mirrors) release(name Name) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	delete(ms.creating, name)
}

// install makes a mirror that was built aside known, on disk and to readers in
// one step.
func (ms *Mirrors) install(name Name, staging string, built *Mirror) error {
	if err := syncTree(staging); err != nil {
		return err
	}
	ms.mu.Lock()
	trash, err := ms.storage.Install(staging, name)
	if err == nil {
		m := ms.add(name, identify(ms.storage.MirrorDir(name)))
		m.state, m.recovered, m.pulled = built.state, true, true
		m.snapshot.Store(built.Snapshot())
	}
	ms.mu.Unlock()
	if trash != "" {
		err = errors.Join(err, os.RemoveAll(trash))
	}
	if err != nil {
		return err
	}
	return ms.storage.Settle(name)
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
		_, _ = ms.pulls.Do(ctx, m.Name, req.variant(), work)
	} else {
		_, _ = ms.pulls.Join(ctx, m.Name, req.variant(), work)
	}
}

// LookFor pulls for a commit that a mirror lacks, unless that was tried a moment
// ago.
func (ms *Mirrors) LookFor(ctx context.Context, set *settings, m *Mirror, commit string) {
	if !m.wantsPull(set, true) || !m.seek(commit) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, set.Patience)
	defer cancel()
	req := pullRequest{Name: m.Name}
	_, _ = ms.pulls.Do(ctx, m.Name, req.variant(), func() (Pulled, error) { return ms.pull(set, req) })
}

// Wait returns when no pull is running any more.
func (ms *Mirrors) Wait() { ms.pulls.Wait() }

// progress is how far a pull is.
type progress struct {
	began time.Time
	mu    sync.Mutex // guards text
	text  string
}

func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
}

func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text
}

// Progress returns how far the pull of that name is that is running, or nil.
func (ms *Mirrors) Progress(name Name) *progress {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.going[name]
}

// begin notes that a pull is running; end it afterwards.
func (ms *Mirrors) begin(name Name) *progress {
	p := &progress{began: time.Now(), text: "waiting to begin"}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.going[name] = p
	return p
}

func (ms *Mirrors) end(name Name) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	delete(ms.going, name)
}
