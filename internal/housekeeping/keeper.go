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

// Options are what housekeeping reads of the configuration.
type Options struct {
	Keep   time.Duration // how long what was removed or replaced is retained
	Repack bool          // packs are looked after
	Check  time.Duration // within which all objects are read once; 0 for never
}

// Keeper does the housekeeping. Its methods are safe for concurrent use.
type Keeper struct {
	options  atomic.Pointer[Options]
	dir      *storage.Dir
	log      *slog.Logger
	repacker *repacker
	fscker   *fscker
	wake     chan struct{} // has an element when there may be something to expire
}

// NewKeeper returns the keeper of a directory. Run does the work.
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

// Wake has it look soon for what is to be done.
func (k *Keeper) Wake() {
	for _, wake := range []chan struct{}{k.wake, k.fscker.wake} {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// Changed notes that a pull has changed a mirror.
func (k *Keeper) Changed(m *mirror.Mirror) { k.repacker.changed(m) }

// scanPeriod is the time between two looks at the packs of all mirrors: for those that
// were copied in, or that have not changed for long.
const scanPeriod = time.Hour

// Run works until ctx ends.
func (k *Keeper) Run(ctx context.Context, store *mirror.Store) {
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() { k.repacker.run(ctx, store) })
	workers.Go(func() { k.fscker.run(ctx, store) })
	k.run(ctx, store)
}

// run lets go of what was retained for long enough, and looks for mirrors to be repacked. It
// begins when all mirrors were read: what they retain is known then.
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
		next := time.NewTimer(lookAgain(opts.Keep))
		select {
		case <-ctx.Done():
		case <-k.wake:
		case <-next.C:
		case <-scan.C:
			if err := k.repacker.scan(k.dir, store); err != nil {
				k.log.Error("can't look at the packs of all mirrors", "err", err)
			}
		}
		next.Stop()
	}
}

// expire lets go of what has been retained for long enough.
func (k *Keeper) expire(ctx context.Context, store *mirror.Store, opts *Options) {
	if err := k.dir.Expire(time.Now(), opts.Keep); err != nil {
		k.log.Error("can't remove what was kept for long enough", "err", err)
	}
	store.Expire(ctx)
}

// lookAgain is after what time to look again for what is retained for so long: often
// enough for what is retained shortly, and not for nothing.
func lookAgain(keep time.Duration) time.Duration {
	if keep == 0 {
		keep = storage.MinRetention
	}
	return min(max(keep/16, time.Second), time.Hour)
}

// past is a date that was noted, or zero, for never, if it is still to come: the clock was
// wrong, and until then nothing would be done.
func past(noted, now time.Time) time.Time {
	if noted.After(now) {
		return time.Time{}
	}
	return noted
}
