package housekeeping

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Disks lose data. So all objects of all mirrors are checked once in a period, one mirror at a
// time.

// checked is when a mirror was last checked.
type checked struct {
	name storage.Name
	at   time.Time // zero for never
}

// nextCheck decides which mirror is checked next, and how long to wait before. The mirror with
// the oldest check comes first, when the period since then is over. A pause between any two
// checks spreads those of many mirrors over the period; it is half as long as it could be, to
// catch up after a downtime. Without mirrors the index is -1.
func nextCheck(all []checked, period time.Duration, now time.Time) (index int, wait time.Duration) {
	if len(all) == 0 {
		return -1, period
	}
	var oldest, latest time.Time
	for i, c := range all {
		c.at = pastOrZero(c.at, now)
		if c.at.After(latest) {
			latest = c.at
		}
		if i == 0 || c.at.Before(oldest) || c.at.Equal(oldest) && c.name.Compare(all[index].name) < 0 {
			index, oldest = i, c.at
		}
	}
	pause := period / time.Duration(2*len(all))
	wait = max(oldest.Add(period).Sub(now), latest.Add(pause).Sub(now))
	return index, max(wait, 0)
}

// startDelay is how long after the start the first check begins, at most. The server has enough
// other work then.
const startDelay = 5 * time.Minute

// fscker checks mirrors.
type fscker struct {
	dir     *storage.Dir
	options *atomic.Pointer[Options]
	log     *slog.Logger
	wake    chan struct{} // has an element when the options may have changed

	// Owned by run.
	all    []checked
	listed time.Time // when all was last made
}

func newFscker(dir *storage.Dir, options *atomic.Pointer[Options], log *slog.Logger) *fscker {
	return &fscker{dir: dir, options: options, log: log, wake: make(chan struct{}, 1)}
}

// run works until ctx ends.
func (f *fscker) run(ctx context.Context, store *mirror.Store) {
	began := time.Now()
	for wait := startDelay; ctx.Err() == nil; {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-timer.C:
			f.checkDue(ctx, store)
		}
		timer.Stop()
		period := f.options.Load().Check
		wait = time.Hour // as long as there is nothing to do
		if period > 0 && ctx.Err() == nil {
			f.list(store, period)
			_, next := nextCheck(f.all, period, time.Now())
			rest := time.Until(began.Add(min(period/16, startDelay)))
			wait = min(wait, max(next, rest, min(period/16, time.Second)))
		}
	}
}

// list lists when all mirrors were last checked, unless that was done recently. It has mirrors
// rebuilt that are still known to be damaged: when the damage was found, there may have been no
// source to rebuild them from.
func (f *fscker) list(store *mirror.Store, period time.Duration) {
	if time.Since(f.listed) < pollInterval(period) {
		return
	}
	tried := make(map[storage.Name]time.Time) // failed checks too, which state files do not have
	for _, known := range f.all {
		tried[known.name] = known.at
	}
	f.all, f.listed = nil, time.Now()
	err := f.dir.Names(func(name storage.Name) {
		at, damaged := store.LastCheck(name)
		if at = pastOrZero(at, f.listed); tried[name].After(at) {
			at = tried[name]
		}
		if damaged {
			store.RecoverAgain(name)
		}
		f.all = append(f.all, checked{name, at})
	})
	if err != nil {
		f.log.Error("can't list all mirrors", "err", err)
	}
}

// checkDue checks the mirror that is due, if one is.
func (f *fscker) checkDue(ctx context.Context, store *mirror.Store) {
	period := f.options.Load().Check
	if period == 0 {
		return
	}
	f.list(store, period)
	index, wait := nextCheck(f.all, period, time.Now())
	if index < 0 || wait > 0 {
		return
	}
	began := time.Now()
	due := &f.all[index]
	damage, err := store.Check(ctx, due.name)
	due.at = time.Now()
	log := f.log.With("mirror", due.name, "took", units.FormatSeconds(time.Since(began)))
	switch {
	case ctx.Err() != nil, errors.Is(err, mirror.ErrUnknown), errors.Is(err, mirror.ErrReplaced):
	case err != nil:
		log.Error("can't check", "err", err)
	case damage != nil:
		log.Error("checked; it is damaged", "err", damage)
		store.CheckSoon(due.name)
	default:
		log.Info("checked")
	}
}
