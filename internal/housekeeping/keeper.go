package housekeeping

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// Options are the part of the configuration that housekeeping uses.
type Options struct {
	Keep   time.Duration // how long removed mirrors and replaced refs are retained
	Repack bool          // whether packs are repacked
	Check  time.Duration // the period in which all objects are checked once; 0 for never
}

// Keeper does the housekeeping. Its methods are safe for concurrent use.
type Keeper struct {
	options  atomic.Pointer[Options]
	dir      *storage.Dir
	log      *slog.Logger
	repacker *repacker
	fscker   *fscker
	wake     chan struct{} // has an element when something may have expired
}

// NewKeeper returns the keeper of a directory's mirrors. Its work is done by Run.
func NewKeeper(dir *storage.Dir, log *slog.Logger, options *Options) *Keeper {
	k := &Keeper{dir: dir, log: log, wake: make(chan struct{}, 1)}
	k.repacker = newRepacker(&k.options, log)
	k.fscker = newFscker(dir, &k.options, log)
	k.Configure(options)
	return k
}

// Configure puts options in force.
func (k *Keeper) Configure(options *Options) {
	k.options.Store(options)
	k.Wake()
}

// Wake makes Run look at once for work that is due.
func (k *Keeper) Wake() {
	for _, wake := range []chan struct{}{k.wake, k.fscker.wake} {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// Changed must be called after a pull has changed a mirror.
func (k *Keeper) Changed(m *mirror.Mirror) { k.repacker.changed(m) }

// scanPeriod is the time between two scans of the packs of all mirrors. Scans find mirrors that
// were copied in, or have not changed for long.
const scanPeriod = time.Hour

// Run does all housekeeping until ctx ends.
func (k *Keeper) Run(ctx context.Context, store *mirror.Store) {
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() { k.repacker.run(ctx, store) })
	workers.Go(func() { k.fscker.run(ctx, store) })
	k.run(ctx, store)
}

// run removes what has expired, and scans for mirrors to be repacked. It begins when the store
// has loaded all mirrors, and so knows what they retain.
func (k *Keeper) run(ctx context.Context, store *mirror.Store) {
	select {
	case <-ctx.Done():
	case <-store.Ready():
	}
	scan := time.NewTicker(scanPeriod)
	defer scan.Stop()
	for ctx.Err() == nil {
		opts := k.options.Load()
		k.expire(ctx, store, opts)
		next := time.NewTimer(pollInterval(opts.Keep))
		select {
		case <-ctx.Done():
		case <-k.wake:
		case <-next.C:
		case <-scan.C:
			if err := k.repacker.scan(k.dir, store); err != nil {
				k.log.Error("can't scan the packs of all mirrors", "err", err)
			}
		}
		next.Stop()
	}
}

// expire removes mirrors in the trash, tombstones and retained refs whose time is over.
func (k *Keeper) expire(ctx context.Context, store *mirror.Store, opts *Options) {
	if err := k.dir.Expire(time.Now(), opts.Keep); err != nil {
		k.log.Error("can't remove deleted mirrors or their tombstones", "err", err)
	}
	store.Expire(ctx)
}

// pollInterval returns the time between two looks for what is due after that period: a sixteenth
// of it, from one second to one hour. A period of 0 is storage.MinRetention.
func pollInterval(period time.Duration) time.Duration {
	if period == 0 {
		period = storage.MinRetention
	}
	return min(max(period/16, time.Second), time.Hour)
}

// pastOrZero returns a recorded date, or zero, for never, if it is in the future: the clock was
// wrong then, and without this nothing would be done until that date.
func pastOrZero(recorded, now time.Time) time.Time {
	if recorded.After(now) {
		return time.Time{}
	}
	return recorded
}
