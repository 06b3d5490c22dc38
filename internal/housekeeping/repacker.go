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

// Every pull leaves a pack, and git finds objects slowly in many packs. So a worker repacks
// mirrors when nobody pushes, and a pull that has something to write ends its repack. A mirror
// that is pushed to without a pause is repacked incrementally when it has too many packs, and
// its pulls wait. A second worker does that, since the first may be busy for hours.
const (
	tolerablePacks = 12
	tooManyPacks   = 48
	tolerableLoose = 2000     // loose objects, which only copied-in mirrors have
	smallMirror    = 32 << 20 // bytes; so much is repacked into one pack in no time

	quietPeriod = time.Second        // without a pull, before a mirror is repacked
	fullEvery   = 7 * 24 * time.Hour // if the mirror has changed, or has unreachable objects

	repackRetry    = 5 * time.Minute  // after a repack that failed or had no effect; it doubles
	preemptedRetry = 10 * time.Second // after a repack that a pull ended; it doubles
)

// chooseRepack decides how a mirror is repacked, by its packs and by when it was last repacked in
// full and last changed. unfinished means that the last repack was an incremental one.
func chooseRepack(p git.Packs, repacked, changed, now time.Time, unfinished bool) git.Repack {
	repacked = pastOrZero(repacked, now)
	switch {
	case p.Count > tooManyPacks:
		return git.RepackIncremental
	case p.Loose > tolerableLoose,
		now.Sub(repacked) >= fullEvery && (changed.After(repacked) && p.Count+p.Loose > 0 || p.Unreachable > 0):
		return git.RepackFull
	case p.Count <= tolerablePacks && !unfinished:
		return git.RepackNone
	case p.Size <= smallMirror:
		return git.RepackFull
	default:
		return git.RepackGeometric
	}
}

// chooseAfterPull decides by the packs alone, without reading any dates: a pull must not wait.
func chooseAfterPull(p git.Packs, now time.Time) git.Repack {
	return chooseRepack(p, now, now, now, false)
}

// policy returns chooseRepack at the time when it is called.
func policy(unfinished bool) mirror.RepackPolicy {
	return func(p git.Packs, repacked, changed time.Time) git.Repack {
		return chooseRepack(p, repacked, changed, time.Now(), unfinished)
	}
}

// repacker repacks mirrors: one worker does incremental repacks, and another one all others.
type repacker struct {
	options     *atomic.Pointer[Options]
	log         *slog.Logger
	incremental *queue
	regular     *queue
}

func newRepacker(options *atomic.Pointer[Options], log *slog.Logger) *repacker {
	return &repacker{options: options, log: log, incremental: newQueue(), regular: newQueue()}
}

// changed queues a mirror that a pull has changed, if it needs a repack, and postpones its job if
// it does not.
func (r *repacker) changed(m *mirror.Mirror) {
	if !r.options.Load().Repack {
		return
	}
	p, err := m.Packs()
	if err != nil {
		return // a check finds the reason
	}
	now := time.Now()
	switch chooseAfterPull(p, now) {
	case git.RepackNone:
		r.regular.postpone(m.Name, now.Add(quietPeriod))
	case git.RepackIncremental:
		r.incremental.add(m.Name, job{at: now})
	default:
		r.regular.add(m.Name, job{at: now.Add(quietPeriod)})
	}
}

// run works until ctx ends.
func (r *repacker) run(ctx context.Context, store *mirror.Store) {
	var worker sync.WaitGroup
	defer worker.Wait()
	worker.Go(func() {
		r.incremental.run(ctx, func(ctx context.Context, name storage.Name, _ job) { r.repackNow(ctx, store, name) })
	})
	r.regular.run(ctx, func(ctx context.Context, name storage.Name, j job) { r.repack(ctx, store, name, j) })
}

// repackNow repacks a mirror incrementally, if it still has too many packs, and leaves the rest
// to the other worker.
func (r *repacker) repackNow(ctx context.Context, store *mirror.Store, name storage.Name) {
	if !r.options.Load().Repack {
		return
	}
	began := time.Now()
	repacked, err := store.RepackNow(ctx, name, policy(false))
	switch again := r.ended(ctx, r.incremental, name, repacked, began, err); {
	case again:
		r.incremental.add(name, job{at: time.Now().Add(quietPeriod)})
	case repacked.Kind == git.RepackIncremental:
		r.regular.add(name, job{at: time.Now().Add(quietPeriod), unfinished: true})
	}
}

// repack repacks a mirror, if it still needs it.
func (r *repacker) repack(ctx context.Context, store *mirror.Store, name storage.Name, j job) {
	if !r.options.Load().Repack {
		return
	}
	began := time.Now()
	repacked, err := store.Repack(ctx, name, policy(j.unfinished))
	if errors.Is(err, mirror.ErrNeedsIncremental) { // it was copied in, for example
		r.incremental.add(name, job{at: began})
		return
	}
	if r.ended(ctx, r.regular, name, repacked, began, err) {
		r.regular.add(name, job{at: time.Now().Add(quietPeriod), unfinished: j.unfinished})
	}
}

// ended logs how a repack ended, and tells the queue when the next one may begin. It reports
// whether the repack must be done again.
func (r *repacker) ended(
	ctx context.Context, q *queue, name storage.Name, repacked mirror.Repacked, began time.Time, err error,
) (again bool) {
	now := time.Now()
	log := r.log.With("mirror", name, "repack", repacked.Kind, "took", units.FormatSeconds(now.Sub(began)))
	switch {
	case ctx.Err() != nil, errors.Is(err, mirror.ErrUnknown), errors.Is(err, mirror.ErrReplaced):
		return false
	case errors.Is(err, mirror.ErrPreempted), errors.Is(err, mirror.ErrChecking):
		q.pause(name, now, preemptedRetry)
		return true
	case err != nil:
		log.Error("can't repack", "err", err)
		q.pause(name, now, repackRetry)
		return true
	case repacked.Kind == git.RepackNone:
	case repacked.After >= repacked.Before: // without a pause, each pull would repeat it
		log.Info("repacked without effect", "packs", repacked.After)
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
			r.regular.add(name, job{at: now})
		}
	})
}
