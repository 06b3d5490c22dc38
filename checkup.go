package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// Disks forget. All objects of all mirrors are read once in a period, one mirror at a
// time; the dates are in the mirrors' own files, so that a restart does not begin anew.

// checked is when a mirror was last checked.
type checked struct {
	name Name
	at   time.Time // zero for never
}

// nextCheck decides which mirror is checked next, and how long to wait before. The one
// that was checked longest ago comes first, when the period is over; and between any two
// checks there is a pause, so that those of many mirrors are spread over the period. It
// is half as long as it could be, to catch up after a downtime.
func nextCheck(all []checked, period time.Duration, now time.Time) (index int, wait time.Duration) {
	if len(all) == 0 {
		return -1, period
	}
	var oldest, latest time.Time
	for i, c := range all {
		c.at = past(c.at, now)
		if c.at.After(latest) {
			latest = c.at
		}
		if i == 0 || c.at.Before(oldest) || c.at.Equal(oldest) && c.name.s < all[index].name.s {
			index, oldest = i, c.at
		}
	}
	pause := period / time.Duration(2*len(all))
	wait = max(oldest.Add(period).Sub(now), latest.Add(pause).Sub(now))
	return index, max(wait, 0)
}

// past is a date that was noted, or zero, for never, if it is still to come: the clock was
// wrong, and until then nothing would be done.
func past(noted, now time.Time) time.Time {
	if noted.After(now) {
		return time.Time{}
	}
	return noted
}

// afterStart is how long after a start the first check begins, at most: there is enough
// to do then.
const afterStart = 5 * time.Minute

// checker checks mirrors.
type checker struct {
	mirrors  *Mirrors
	settings func() *settings
	log      *slog.Logger
	wake     chan struct{} // has an element when the settings have changed

	all    []checked
	listed time.Time // when all was read
}

func newChecker(mirrors *Mirrors, settings func() *settings, log *slog.Logger) *checker {
	return &checker{mirrors: mirrors, settings: settings, log: log, wake: make(chan struct{}, 1)}
}

// run works until ctx ends.
func (c *checker) run(ctx context.Context) {
	began := time.Now()
	for wait := afterStart; ctx.Err() == nil; {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
			c.one(ctx)
		}
		timer.Stop()
		set := c.settings()
		wait = time.Hour // as long as there is nothing to do
		if set.Check > 0 && ctx.Err() == nil {
			c.list(set)
			_, next := nextCheck(c.all, set.Check, time.Now())
			rest := time.Until(began.Add(min(set.Check/16, afterStart)))
			wait = min(wait, max(next, rest, min(set.Check/16, time.Second)))
		}
	}
}

// list reads when the mirrors were last checked, unless that was done a while ago. Those
// in which a check has found damage that is there still are mended now: when it was found,
// there may have been nowhere to build them from.
func (c *checker) list(set *settings) {
	if time.Since(c.listed) < lookAgain(set.Check) {
		return
	}
	tried := make(map[Name]time.Time) // also if nothing came of it
	for _, known := range c.all {
		tried[known.name] = known.at
	}
	c.all, c.listed = nil, time.Now()
	err := c.mirrors.storage.Names(func(name Name) {
		at := tried[name]
		if state, err := readState(c.mirrors.storage.MirrorDir(name)); err == nil {
			if noted := past(state.Checked, c.listed); noted.After(at) {
				at = noted
			}
			if state.damage() != nil {
				c.mirrors.MendAgain(set, name)
			}
		}
		c.all = append(c.all, checked{name, at})
	})
	if err != nil {
		c.log.Error("can't look for all mirrors", errTree(err))
	}
}

// one checks the mirror that is due, if one is.
func (c *checker) one(ctx context.Context) {
	set := c.settings()
	if set.Check == 0 {
		return
	}
	c.list(set)
	index, wait := nextCheck(c.all, set.Check, time.Now())
	if index < 0 || wait > 0 {
		return
	}
	began := time.Now()
	due := &c.all[index]
	damage, err := c.mirrors.check(ctx, set, due.name)
	due.at = time.Now()
	log := c.log.With("mirror", due.name, "seconds", seconds(time.Since(began)))
	switch {
	case ctx.Err() != nil, errors.Is(err, errUnknownMirror), errors.Is(err, errReplaced):
	case err != nil:
		log.Error("can't check", errTree(err))
	case damage != nil:
		log.Error("checked; it is damaged", errTree(damage))
		c.mirrors.checkSoon(set, due.name)
	default:
		log.Info("checked")
	}
}

func (ms *Mirrors) setChecking(name Name) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.checking = name
}

// isChecking reports whether a mirror is being read as a whole. Who has its turn can rely on
// the answer until its end.
func (ms *Mirrors) isChecking(name Name) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.checking == name
}

// check reads all of a mirror, and notes and returns what is damaged. Pulls may go on
// meanwhile, but its packs stay.
func (ms *Mirrors) check(ctx context.Context, set *settings, name Name) (damage, err error) {
	m, err := ms.Get(set, name)
	if err != nil {
		return nil, err
	}
	end, err := ms.turns.take(ctx, name)
	if err != nil {
		return nil, err
	}
	ms.turns.clear(name)
	ms.setChecking(name)
	defer ms.setChecking(Name{})
	ms.dropBroken(ctx, set, m)
	end()

	limited, cancel := context.WithTimeoutCause(ctx, choreLimit, fmt.Errorf("not over within %s", choreLimit))
	defer cancel()
	damage, warnings, err := checkStill(limited, set.git.Repo(m.Dir))
	if err != nil {
		return nil, err
	}

	if end, err = ms.turns.take(ctx, name); err != nil {
		return nil, err
	}
	defer end()
	if err := ms.isCurrent(set, m); err != nil {
		return nil, err
	}
	return damage, m.noteCheck(damage, warnings, time.Now())
}

// dropBroken removes what git has made from a mirror's objects to read them faster, where
// it is broken: that needs no origin. The next full repack makes it anew, and is due. It
// must be the mirror's turn.
func (ms *Mirrors) dropBroken(ctx context.Context, set *settings, m *Mirror) {
	dropped, err := set.git.Repo(m.Dir).DropBroken(ctx)
	log := ms.log.With("mirror", m.Name)
	if len(dropped) > 0 {
		log.Error("removed broken files that git can do without", "files", strings.Join(dropped, " "))
		if m.same() == nil {
			m.state.Repacked = time.Time{}
			err = errors.Join(err, m.state.write(m.Dir))
		}
	}
	if err != nil && ctx.Err() == nil {
		log.Error("can't look for broken files that git can do without", errTree(err))
	}
}

// checkStill checks a repository, and once more if it finds damage and refs have changed
// meanwhile: what a pull was just writing is no damage.
func checkStill(ctx context.Context, repo git.Repo) (damage error, warnings git.Warnings, err error) {
	for range 3 {
		before := repo.Stamp()
		if damage, warnings, err = repo.Check(ctx); damage == nil || err != nil || repo.Stamp() == before {
			break
		}
	}
	return damage, warnings, err
}

// maxDamage bounds what is noted of a mirror's damage, in bytes.
const maxDamage = 1000

// noteCheck notes how a check ended, on disk and then for readers. It must be the
// mirror's turn.
func (m *Mirror) noteCheck(damage error, warnings git.Warnings, now time.Time) error {
	m.noteDamage(damage, now)
	state := m.state
	state.noteCheck(damage, now)
	state.Warnings = warnings
	if err := state.write(m.Dir); err != nil {
		return err
	}
	m.state = state
	s := *m.Snapshot()
	s.Checked, s.CheckError, s.Warnings = state.Checked, state.CheckError, state.Warnings
	m.show(&s)
	return nil
}

// noteCheck notes what a check has found, which is nil for nothing.
func (s *stateFile) noteCheck(damage error, now time.Time) {
	s.Checked, s.CheckError = now.Truncate(time.Second), ""
	if damage != nil {
		s.CheckError = clip(clean(strings.TrimSpace(damage.Error())), maxDamage)
	}
}
