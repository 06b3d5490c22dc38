package housekeeping

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Every pull leaves a pack, and what is in many packs is found slowly. So mirrors are
// repacked from time to time: by one worker, when nobody pushes, and in a way that gives
// way to a pull that has something to write. A mirror that is pushed to without a pause is
// repacked incrementally when it has got too many packs, and the pull waits; a second worker
// does that, since the first may be at work for hours.
const (
	tolerablePacks = 12
	tooManyPacks   = 48
	tolerableLoose = 2000     // objects that are files: in a mirror that was copied in
	smallMirror    = 32 << 20 // bytes that are packed into one pack in no time

	quiet     = time.Second        // without a pull, before a mirror is repacked
	fullEvery = 7 * 24 * time.Hour // if it has changed, or has unreachable objects

	repackRetry = 5 * time.Minute  // after a repack that has failed, or was of no use; it doubles
	interrupted = 10 * time.Second // after one that gave way; it doubles
)

// chooseRepack decides about a mirror with these packs that was last repacked in full and
// last changed at these times. owed says that there was only time for an incremental one.
func chooseRepack(p git.Packs, repacked, changed, now time.Time, owed bool) git.Repack {
	repacked = past(repacked, now)
	switch {
	case p.Count > tooManyPacks:
		return git.RepackIncremental
	case p.Loose > tolerableLoose,
		now.Sub(repacked) >= fullEvery && (changed.After(repacked) && p.Count+p.Loose > 0 || p.Unreachable > 0):
		return git.RepackFull
	case p.Count <= tolerablePacks && !owed:
		return git.RepackNone
	case p.Size <= smallMirror:
		return git.RepackFull
	default:
		return git.RepackGeometric
	}
}

// chooseNow decides after a pull, when there is no time to look at all.
func chooseNow(p git.Packs, now time.Time) git.Repack { return chooseRepack(p, now, now, now, false) }

// policy is chooseRepack at this moment.
func policy(owed bool) mirror.RepackPolicy {
	return func(p git.Packs, repacked, changed time.Time) git.Repack {
		return chooseRepack(p, repacked, changed, time.Now(), owed)
	}
}

// repacker looks after packs: one worker does incremental repacks, and another one all others.
type repacker struct {
	options     *atomic.Pointer[Options]
	log         *slog.Logger
	incremental *queue
	others      *queue
}

func newRepacker(options *atomic.Pointer[Options], log *slog.Logger) *repacker {
	return &repacker{options: options, log: log, incremental: newQueue(), others: newQueue()}
}

// changed notes that a pull has changed a mirror.
func (r *repacker) changed(m *mirror.Mirror) {
	if !r.options.Load().Repack {
		return
	}
	p, err := m.Packs()
	if err != nil {
		return // a check will find out
	}
	now := time.Now()
	switch chooseNow(p, now) {
	case git.RepackNone:
		r.others.postpone(m.Name, now.Add(quiet))
	case git.RepackIncremental:
		r.incremental.add(m.Name, job{at: now})
	default:
		r.others.add(m.Name, job{at: now.Add(quiet)})
	}
}

// run works until ctx ends.
func (r *repacker) run(ctx context.Context, store *mirror.Store) {
	var worker sync.WaitGroup
	defer worker.Wait()
	worker.Go(func() {
		r.incremental.run(ctx, func(ctx context.Context, name storage.Name, _ job) { r.repackNow(ctx, store, name) })
	})
	r.others.run(ctx, func(ctx context.Context, name storage.Name, one job) { r.repack(ctx, store, name, one) })
}

// repackNow repacks a mirror incrementally, if it still has too many packs. The rest is left
// for when there is time.
func (r *repacker) repackNow(ctx context.Context, store *mirror.Store, name storage.Name) {
	if !r.options.Load().Repack {
		return
	}
	began := time.Now()
	repacked, err := store.RepackNow(ctx, name, policy(false))
	switch again := r.ended(ctx, r.incremental, name, repacked, began, err); {
	case again:
		r.incremental.add(name, job{at: time.Now().Add(quiet)})
	case repacked.Kind == git.RepackIncremental:
		r.others.add(name, job{at: time.Now().Add(quiet), owed: true})
	}
}

// repack repacks a mirror, if it still needs it.
func (r *repacker) repack(ctx context.Context, store *mirror.Store, name storage.Name, one job) {
	if !r.options.Load().Repack {
		return
	}
	began := time.Now()
	repacked, err := store.Repack(ctx, name, policy(one.owed))
	if errors.Is(err, mirror.ErrNeedsIncremental) { // as of a mirror that was copied in
		r.incremental.add(name, job{at: began})
		return
	}
	if r.ended(ctx, r.others, name, repacked, began, err) {
		r.others.add(name, job{at: time.Now().Add(quiet), owed: one.owed})
	}
}

// ended tells the log how a repack ended, and the queue when the next one may begin. It
// reports whether it is to be done again.
func (r *repacker) ended(
	ctx context.Context, q *queue, name storage.Name, repacked mirror.Repacked, began time.Time, err error,
) (again bool) {
	now := time.Now()
	log := r.log.With("mirror", name, "repack", repacked.Kind, "seconds", units.FormatSeconds(now.Sub(began)))
	switch {
	case ctx.Err() != nil, errors.Is(err, mirror.ErrUnknown), errors.Is(err, mirror.ErrReplaced):
		return false
	case errors.Is(err, mirror.ErrPreempted), errors.Is(err, mirror.ErrChecking):
		q.pause(name, now, interrupted)
		return true
	case err != nil:
		log.Error("can't repack", "err", err)
		q.pause(name, now, repackRetry)
		return true
	case repacked.Kind == git.RepackNone:
	case repacked.After >= repacked.Before: // as after a pull it would be again
		log.Info("repacked, to no use", "packs", repacked.After)
		q.pause(name, now, repackRetry)
		return false
	default:
		log.Info("repacked")
	}
	q.done(name)
	return false
}

// scan puts all mirrors on the queue that need to be repacked.
func (r *repacker) scan(dir *storage.Dir, store *mirror.Store) error {
	if !r.options.Load().Repack {
		return nil
	}
	now := time.Now()
	return dir.Names(func(name storage.Name) {
		if store.NeedsRepack(name, policy(false)) {
			r.others.add(name, job{at: now})
		}
	})
}
