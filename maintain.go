package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Every pull leaves a pack, and what is in many packs is found slowly. So mirrors are
// repacked from time to time: by one worker, when nobody pushes, and in a way that gives
// way to a pull that has something to write. A mirror that is pushed to without a pause is
// repacked quickly when it has got too many packs, and the pull waits; a second worker does
// that, since the first may be at work for hours.
const (
	tolerablePacks = 12
	tooManyPacks   = 48
	tolerableLoose = 2000     // objects that are files: in a mirror that was copied in
	smallMirror    = 32 << 20 // bytes that are packed into one pack in no time

	quiet      = time.Second        // without a pull, before a mirror is repacked
	fullEvery  = 7 * 24 * time.Hour // if it has changed, or has unreachable objects
	choreLimit = 6 * time.Hour      // for one
	quickLimit = time.Minute        // for a quick one, and for its turn to come

	choreRetry  = 5 * time.Minute  // after one that has failed, or was of no use; it doubles
	interrupted = 10 * time.Second // after one that gave way; it doubles
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
	repacked = past(repacked, now)
	switch {
	case p.Count > tooManyPacks:
		return choreQuick
	case p.Loose > tolerableLoose,
		now.Sub(repacked) >= fullEvery && (changed.After(repacked) && p.Count+p.Loose > 0 || p.Unreachable > 0):
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

// maintainer does the chores: the quick ones, and beside them all others.
type maintainer struct {
	mirrors  *Mirrors
	settings func() *settings
	log      *slog.Logger
	quick    *chores
	calm     *chores
}

func newMaintainer(mirrors *Mirrors, settings func() *settings, log *slog.Logger) *maintainer {
	return &maintainer{mirrors: mirrors, settings: settings, log: log, quick: newChores(), calm: newChores()}
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
		w.calm.postpone(m.Name, now.Add(quiet))
	case choreQuick:
		w.quick.note(m.Name, choreJob{at: now})
	default:
		w.calm.note(m.Name, choreJob{at: now.Add(quiet)})
	}
}

// run works until ctx ends.
func (w *maintainer) run(ctx context.Context) {
	var quick sync.WaitGroup
	defer quick.Wait()
	quick.Go(func() { w.quick.run(ctx, w.workQuickly) })
	w.calm.run(ctx, w.work)
}

// workQuickly does a mirror's quick chore, if it still has one. The rest is left for when
// there is time.
func (w *maintainer) workQuickly(ctx context.Context, name storage.Name, _ choreJob) {
	set := w.settings()
	if !set.Maintenance {
		return
	}
	began := time.Now()
	repacked, err := w.mirrors.repackQuickly(ctx, set, name)
	switch again := w.tell(ctx, w.quick, name, repacked, began, err); {
	case again:
		w.quick.note(name, choreJob{at: time.Now().Add(quiet)})
	case repacked.did == choreQuick:
		w.calm.note(name, choreJob{at: time.Now().Add(quiet), owed: true})
	}
}

// work does a mirror's chore, if it still has one.
func (w *maintainer) work(ctx context.Context, name storage.Name, job choreJob) {
	set := w.settings()
	if !set.Maintenance {
		return
	}
	began := time.Now()
	repacked, err := w.mirrors.maintain(ctx, set, name, job.owed)
	if errors.Is(err, errQuick) { // as of a mirror that was copied in
		w.quick.note(name, choreJob{at: began})
		return
	}
	if w.tell(ctx, w.calm, name, repacked, began, err) {
		w.calm.note(name, choreJob{at: time.Now().Add(quiet), owed: job.owed})
	}
}

// tell tells the log how a chore ended, and the list when the next one may begin. It
// reports whether it is to be done again.
func (w *maintainer) tell(ctx context.Context, list *chores, name storage.Name, r repacked, began time.Time, err error) (again bool) {
	now := time.Now()
	log := w.log.With("mirror", name, "repack", r.did, "seconds", units.FormatSeconds(now.Sub(began)))
	switch {
	case ctx.Err() != nil, errors.Is(err, errUnknownMirror), errors.Is(err, errReplaced):
		return false
	case errors.Is(err, errGiveWay), errors.Is(err, errChecking):
		list.pause(name, now, interrupted)
		return true
	case err != nil:
		log.Error("can't repack", "err", err)
		list.pause(name, now, choreRetry)
		return true
	case r.did == choreNone:
	case r.after >= r.before: // as after a pull it would be again
		log.Info("repacked, to no use", "packs", r.after)
		list.pause(name, now, choreRetry)
		return false
	default:
		log.Info("repacked")
	}
	list.done(name)
	return false
}

// scan puts all mirrors on the list that have something to be done about them.
func (w *maintainer) scan(set *settings) error {
	if !set.Maintenance {
		return nil
	}
	now := time.Now()
	return w.mirrors.storage.Names(func(name storage.Name) {
		dir := w.mirrors.storage.MirrorDir(name)
		p, err := set.git.Repo(dir).Packs()
		if err != nil {
			return
		}
		state, err := readState(dir)
		if err != nil {
			return
		}
		if chooseChore(p, state.Repacked, refsChanged(dir), now, false) != choreNone {
			w.calm.note(name, choreJob{at: now})
		}
	})
}

// errChecking is why a mirror is not repacked now: its packs are being read as a whole.
var errChecking = errors.New("the mirror is being checked")

// repacked is what was done about a mirror's packs.
type repacked struct {
	did           chore
	before, after int // packs and files of single objects
}

// errQuick is why a mirror is left to who does the quick chores.
var errQuick = errors.New("it has too many packs")

// maintain does what is to be done about a mirror's packs, beside the pulls that have
// nothing to write, and packs its refs.
func (ms *Mirrors) maintain(ctx context.Context, set *settings, name storage.Name, owed bool) (r repacked, err error) {
	m, end, err := ms.toTend(ctx, set, name)
	if err != nil {
		return r, err
	}
	repo := set.git.Repo(m.Dir)
	if err = m.settle(ctx, set, repo); err == nil {
		r, err = ms.choose(m, repo, owed)
	}
	if err == nil && r.did == choreQuick {
		err = errQuick
	}
	if err != nil || r.did == choreNone {
		ms.tended(name)
		end()
		return repacked{}, err
	}
	work, over := ms.turns.stepAside(ctx, name)
	end()
	now := time.Now()
	err = ms.repack(work, set, m, &r, choreLimit)
	ms.tended(name)
	over()
	if err != nil || r.did != choreFull {
		return r, err
	}
	if end, err = ms.turns.take(ctx, name); err != nil {
		return r, err
	}
	defer end()
	if err := ms.isCurrent(set, m); err != nil {
		return r, err
	}
	m.state.Repacked = now.Truncate(time.Second)
	return r, m.state.write(m.Dir)
}

// repackQuickly has a mirror that has got too many packs wait, and its pulls, until it has
// fewer.
func (ms *Mirrors) repackQuickly(ctx context.Context, set *settings, name storage.Name) (r repacked, err error) {
	m, end, err := ms.toTend(ctx, set, name)
	if err != nil {
		return r, err
	}
	defer end()
	defer ms.tended(name)
	if r, err = ms.choose(m, set.git.Repo(m.Dir), false); err != nil || r.did != choreQuick {
		return repacked{}, err
	}
	return r, ms.repack(ctx, set, m, &r, quickLimit)
}

// toTend takes the turn of a mirror whose packs are to be written. It does not wait for
// long: others have chores as well. The caller must call tended, and then end.
func (ms *Mirrors) toTend(ctx context.Context, set *settings, name storage.Name) (m *Mirror, end func(), err error) {
	if m, err = ms.Get(set, name); err != nil {
		return nil, nil, err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, quickLimit, errGiveWay)
	defer cancel()
	if end, err = ms.turns.take(waiting, name); err != nil {
		return nil, nil, err
	}
	ms.turns.clear(name)
	if err = ms.tend(set, m); err == nil && ms.isChecking(name) {
		ms.tended(name)
		err = errChecking
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return m, end, nil
}

// choose decides about a mirror's packs as they are now.
func (ms *Mirrors) choose(m *Mirror, repo git.Repo, owed bool) (r repacked, err error) {
	p, err := repo.Packs()
	r.did = chooseChore(p, m.state.Repacked, refsChanged(m.Dir), time.Now(), owed)
	r.before = p.Count + p.Loose
	return r, err
}

// repack does what was chosen, within a limit. What is found broken is looked after.
func (ms *Mirrors) repack(ctx context.Context, set *settings, m *Mirror, r *repacked, limit time.Duration) error {
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not over within %s", limit))
	defer cancel()
	repo := set.git.Repo(m.Dir)
	err := repo.Repack(limited, r.did.repack())
	if err != nil {
		if limited.Err() == nil {
			ms.Suspect(set, m, err)
		}
		return errors.Join(err, repo.Sweep())
	}
	p, err := repo.Packs()
	r.after = p.Count + p.Loose
	return err
}

// tend notes that a mirror is about to be written to, by whoever has its turn and is no
// pull. It is not to be read anew until tended is called: that would clear away what is
// being written.
func (ms *Mirrors) tend(set *settings, m *Mirror) error {
	if err := ms.isCurrent(set, m); err != nil {
		return err
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.byName[m.Name] != m {
		return errReplaced
	}
	ms.tending[m.Name] = true
	return nil
}

func (ms *Mirrors) tended(name storage.Name) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	delete(ms.tending, name)
}

// isCurrent checks that this is the mirror that everybody uses under its name.
func (ms *Mirrors) isCurrent(set *settings, m *Mirror) error {
	now, err := ms.find(set, m.Name)
	if err == nil && now != m {
		err = errReplaced
	}
	return err
}
