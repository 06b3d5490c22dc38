package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// Every pull leaves a pack, and what is in many packs is found slowly. So mirrors are
// repacked from time to time: by one worker, when nobody pushes, and in a way that gives
// way to a pull. A mirror that is pushed to without a pause is repacked quickly when it
// has got too many packs, and the pull waits.
const (
	tolerablePacks = 12
	tooManyPacks   = 48
	tolerableLoose = 2000     // objects that are files: in a mirror that was copied in
	smallMirror    = 32 << 20 // bytes that are packed into one pack in no time

	quiet      = time.Second        // without a pull, before a mirror is repacked
	fullEvery  = 7 * 24 * time.Hour // if it has changed
	choreLimit = 6 * time.Hour      // for one
	choreRetry = time.Hour          // after one that has failed
	maxChores  = 1000               // that wait; what does not fit is found later
)

// chore is what is to be done about a mirror's packs.
type chore int

const (
	choreNone chore = iota
	choreRolling
	choreFull
	choreQuick // now, also if others have to wait
)

// chooseChore decides about a mirror with these packs that was last repacked in full and
// last changed at these times. owed says that there was only time for a quick one.
func chooseChore(p git.Packs, repacked, changed, now time.Time, owed bool) chore {
	switch {
	case p.Count > tooManyPacks:
		return choreQuick
	case p.Loose > tolerableLoose, now.Sub(repacked) >= fullEvery && changed.After(repacked) && p.Count+p.Loose > 0:
		return choreFull
	case p.Count <= tolerablePacks && !owed:
		return choreNone
	case p.Size <= smallMirror:
		return choreFull
	default:
		return choreRolling
	}
}

// chooseNow decides after a pull, when there is no time to look at all.
func chooseNow(p git.Packs, now time.Time) chore { return chooseChore(p, now, now, now, false) }

func (c chore) repack() git.Repack {
	switch c {
	case choreQuick:
		return git.RepackQuick
	case choreFull:
		return git.RepackFull
	default:
		return git.RepackRolling
	}
}

func (c chore) String() string {
	return [...]string{"nothing", "rolling", "full", "quick"}[c]
}

// maintainer does the chores.
type maintainer struct {
	mirrors  *Mirrors
	settings func() *settings
	log      *slog.Logger
	more     chan struct{} // has an element when jobs have changed

	mu     sync.Mutex // guards all below
	jobs   map[Name]choreJob
	failed map[Name]time.Time // when
}

// choreJob is a mirror that may have a chore.
type choreJob struct {
	at   time.Time // not before
	owed bool
}

func newMaintainer(mirrors *Mirrors, settings func() *settings, log *slog.Logger) *maintainer {
	return &maintainer{
		mirrors: mirrors, settings: settings, log: log, more: make(chan struct{}, 1),
		jobs: make(map[Name]choreJob), failed: make(map[Name]time.Time),
	}
}

// pulled notes that a pull has changed a mirror.
func (w *maintainer) pulled(set *settings, m *Mirror) {
	if !set.Maintenance {
		return
	}
	p, err := set.git.Repo(m.Dir).Packs()
	if err != nil {
		return // a check will find out
	}
	now := time.Now()
	switch chooseNow(p, now) {
	case choreNone:
		w.postpone(m.Name, now.Add(quiet))
	case choreQuick:
		w.note(m.Name, choreJob{at: now})
	default:
		w.note(m.Name, choreJob{at: now.Add(quiet)})
	}
}

// note puts a mirror on the list, or changes when its turn is.
func (w *maintainer) note(name Name, job choreJob) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, known := w.jobs[name]
	if time.Since(w.failed[name]) < choreRetry || !known && len(w.jobs) >= maxChores {
		return
	}
	job.owed = job.owed || old.owed
	w.jobs[name] = job
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// postpone changes when the turn is of a mirror that is on the list.
func (w *maintainer) postpone(name Name, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if job, known := w.jobs[name]; known {
		job.at = at
		w.jobs[name] = job
	}
}

// next takes the job off the list whose time has come first, or returns how long it is
// until one does.
func (w *maintainer) next(now time.Time) (name Name, job choreJob, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wait = time.Hour
	for n, j := range w.jobs {
		if left := j.at.Sub(now); left < wait {
			name, job, wait = n, j, left
		}
	}
	if wait <= 0 {
		delete(w.jobs, name)
	}
	return name, job, wait
}

// run works until ctx ends.
func (w *maintainer) run(ctx context.Context) {
	for ctx.Err() == nil {
		name, job, wait := w.next(time.Now())
		if wait <= 0 {
			w.work(ctx, name, job)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-w.more:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// work does a mirror's chore, if it still has one.
func (w *maintainer) work(ctx context.Context, name Name, job choreJob) {
	set := w.settings()
	if !set.Maintenance {
		return
	}
	began := time.Now()
	did, err := w.mirrors.maintain(ctx, set, name, job.owed)
	log := w.log.With("mirror", name, "repack", did, "seconds", seconds(time.Since(began)))
	switch {
	case ctx.Err() != nil, errors.Is(err, errUnknownMirror), errors.Is(err, errReplaced):
	case errors.Is(err, errGiveWay), errors.Is(err, errChecking):
		w.note(name, choreJob{at: time.Now().Add(quiet), owed: job.owed})
	case err != nil:
		log.Error("can't repack", errTree(err))
		w.mu.Lock()
		if len(w.failed) >= maxChores {
			clear(w.failed)
		}
		w.failed[name] = time.Now()
		w.mu.Unlock()
	case did == choreQuick:
		log.Info("repacked")
		w.note(name, choreJob{at: time.Now().Add(quiet), owed: true})
	case did != choreNone:
		log.Info("repacked")
	}
}

// scan puts all mirrors on the list that have something to be done about them.
func (w *maintainer) scan(set *settings) error {
	if !set.Maintenance {
		return nil
	}
	now := time.Now()
	return w.mirrors.storage.Names(func(name Name) {
		dir := w.mirrors.storage.MirrorDir(name)
		p, err := set.git.Repo(dir).Packs()
		if err != nil {
			return
		}
		state, err := readState(dir)
		if err != nil {
			return
		}
		if chooseChore(p, state.Repacked, refsChanged(dir), now, false) != choreNone || w.mirrors.keepsTooLong(set, name, now) {
			w.note(name, choreJob{at: now})
		}
	})
}

// errChecking is why a mirror is not repacked now: its packs are being read as a whole.
var errChecking = errors.New("the mirror is being checked")

// maintain does what is to be done about a mirror's packs, at its turn, and lets go of
// refs that were kept for long enough. It tells what it did.
func (ms *Mirrors) maintain(ctx context.Context, set *settings, name Name, owed bool) (did chore, err error) {
	m, err := ms.Get(set, name)
	if err != nil {
		return choreNone, err
	}
	repo := set.git.Repo(m.Dir)
	p, err := repo.Packs()
	if err != nil {
		return choreNone, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, choreLimit, fmt.Errorf("not over within %s", choreLimit))
	defer cancel()
	var end func()
	if p.Count > tooManyPacks {
		end, err = ms.turns.take(ctx, name)
	} else {
		ctx, end, err = ms.turns.lend(ctx, name)
	}
	if err != nil {
		return choreNone, err
	}
	defer end()
	if err := ms.tend(set, m); err != nil {
		return choreNone, err
	}
	defer ms.tended()
	if err := m.letGo(ctx, set, repo); err != nil {
		return choreNone, err
	}
	if p, err = repo.Packs(); err != nil { // a pull may have been before us
		return choreNone, err
	}
	now := time.Now()
	did = chooseChore(p, m.state.Repacked, refsChanged(m.Dir), now, owed)
	if did == choreNone {
		return did, nil
	}
	if err := repo.Repack(ctx, did.repack()); err != nil {
		return did, errors.Join(err, repo.Sweep())
	}
	if did == choreFull {
		m.state.Repacked = now.Truncate(time.Second)
		return did, m.state.write(m.Dir)
	}
	return did, nil
}

// tend notes that a mirror's packs are about to be written, by whoever has its turn. It is
// not to be read anew until tended is called: that would clear away what is being written.
func (ms *Mirrors) tend(set *settings, m *Mirror) error {
	if err := ms.isCurrent(set, m); err != nil {
		return err
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.checking == m.Name {
		return errChecking
	}
	if ms.byName[m.Name] != m {
		return errReplaced
	}
	ms.tending = m.Name
	return nil
}

func (ms *Mirrors) tended() {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.tending = Name{}
}

// isCurrent checks that this is the mirror that everybody uses under its name.
func (ms *Mirrors) isCurrent(set *settings, m *Mirror) error {
	now, err := ms.find(set, m.Name)
	if err == nil && now != m {
		err = errReplaced
	}
	return err
}

// keepsTooLong reports whether a mirror that somebody has read or pulled since the start
// has refs that were kept for long enough.
func (ms *Mirrors) keepsTooLong(set *settings, name Name, now time.Time) bool {
	ms.mu.Lock()
	m := ms.byName[name]
	ms.mu.Unlock()
	if m == nil || m.Snapshot() == nil {
		return false
	}
	kept := m.Snapshot().Kept // the oldest first
	return len(kept) > 0 && !kept[0].At.Add(set.Keep).After(now)
}

// letGo removes refs that were kept for long enough. It must be the mirror's turn.
func (m *Mirror) letGo(ctx context.Context, set *settings, repo git.Repo) error {
	if err := m.settle(ctx, set, repo); err != nil {
		return err
	}
	own := keep(m.own, nil, time.Now(), set.Keep)
	if len(own) == len(m.own) {
		return nil
	}
	s := m.Snapshot()
	all := joined(s.Refs, own)
	m.refs.Lock()
	err := repo.WriteRefs(all)
	m.refs.Unlock()
	if err != nil {
		return err
	}
	m.publish(set, git.Listing{Refs: all, Head: s.Head}, repo.Stamp())
	return nil
}
