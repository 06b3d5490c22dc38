package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// Reconciler keeps a cluster whole without anybody's help: it compares this server with each
// other one from time to time, and removes the difference.
type Reconciler struct {
	store  *mirror.Store
	client *Client
	log    *slog.Logger
	life   context.Context

	work sync.WaitGroup // of the comparers
	mu   sync.Mutex     // guards all below
	by   map[string]*comparer
}

// comparer compares this server with one other: what a slave has missed is passed on to it, and
// what only a peer has is built here.
type comparer struct {
	*Reconciler
	address protocol.Address
	slave   bool // beside being a peer
	stop    context.CancelFunc
	kick    chan struct{} // has an element when a propagation has failed

	// Owned by run.
	compared uint64 // this server's generation when last compared
	settled  bool   // nothing was left to do then
	failing  string // what the log was last told that goes wrong; empty for nothing
	others   bool   // the other one takes other refs
	unasked  bool   // the other one could not be asked then
	tries    map[storage.Name]*try
	former   map[storage.Name]*try // of the comparison before
}

// try is what was done about a mirror that differs, and when it may be done again.
type try struct {
	ours, theirs refs.Fingerprint
	backoff.Backoff
}

// NewReconciler returns a reconciler that works until life ends. It begins with Configure.
func NewReconciler(life context.Context, store *mirror.Store, client *Client, log *slog.Logger) *Reconciler {
	return &Reconciler{store: store, client: client, log: log, life: life, by: make(map[string]*comparer)}
}

// Configure compares with the servers that the client's options name, and no others.
func (rc *Reconciler) Configure() {
	opts := rc.client.current.Load()
	rc.mu.Lock()
	defer rc.mu.Unlock()
	wanted := make(map[string]*comparer)
	if opts.Repair > 0 {
		for _, address := range opts.all() {
			wanted[address.URL()] = &comparer{Reconciler: rc, address: address}
		}
		for _, address := range opts.Slaves {
			wanted[address.URL()].slave = true
		}
	}
	for key, w := range rc.by {
		if same := wanted[key]; same == nil || same.slave != w.slave {
			w.stop()
			delete(rc.by, key)
		}
	}
	for key, w := range wanted {
		if rc.by[key] != nil || rc.life.Err() != nil {
			continue
		}
		ctx, stop := context.WithCancel(rc.life)
		w.stop, w.kick, w.tries = stop, make(chan struct{}, 1), make(map[storage.Name]*try)
		rc.by[key] = w
		rc.work.Go(func() { w.run(ctx) })
	}
}

// Missed notes that a slave may have missed a request: it is compared with soon.
func (rc *Reconciler) Missed(slave protocol.Address) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if w := rc.by[slave.URL()]; w != nil {
		select {
		case w.kick <- struct{}{}:
		default:
		}
	}
}

// Wait returns when nothing is being compared any more.
func (rc *Reconciler) Wait() { rc.work.Wait() }

// soon is the pause after the first sign of a failure; it doubles up to the setting
// repair.
const soon = time.Second

// run compares until ctx ends.
func (w *comparer) run(ctx context.Context) {
	select {
	case <-w.store.Ready():
	case <-ctx.Done():
	}
	var trouble backoff.Backoff
	for ctx.Err() == nil {
		set := w.client.current.Load()
		err := w.round(ctx, set)
		w.tell(ctx, err)
		pause := set.Repair
		if err == nil {
			trouble.Reset()
		} else if trouble.Wait > 0 || errors.Is(err, errLoading) { // somebody may wait for it
			trouble.Fail(time.Now(), soon)
			pause = min(trouble.Wait, pause)
		}
		timer := time.NewTimer(jitter(pause))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.kick:
			trouble.Fail(time.Now(), soon)
			timer.Reset(jitter(min(soon, set.Repair)))
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
		timer.Stop()
	}
}

// jitter is about d, and never the same for many.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// tell tells the log what is news: that the other server cannot be asked, or can again.
func (w *comparer) tell(ctx context.Context, err error) {
	said, unmended := "", (*unmended)(nil)
	if err != nil {
		said = err.Error()
	}
	log := w.log.With("server", w.address)
	switch {
	case ctx.Err() != nil || said == w.failing || errors.Is(err, errLoading):
		return
	case errors.As(err, &unmended):
		log.Warn("can't mend all that differs on another server, or from it", "err", err)
	case err != nil:
		log.Warn("can't compare with another server", "err", err)
	case w.unasked:
		log.Info("comparing with another server again")
	case !w.settled:
		return // what went wrong is to be tried again
	default:
		log.Info("nothing is left to mend on another server, or from it")
	}
	w.failing, w.unasked = said, err != nil && unmended == nil
}

// unmended is why mirrors differ from those of another server although something was done
// about it.
type unmended struct{ error }

func (u *unmended) Unwrap() error { return u.error }

// errLoading is why a server that has just started cannot be compared with yet.
var errLoading = errors.New("it does not know yet what it has")

// round compares once. If nothing has changed on either side since there was nothing to
// do, all it costs is a conditional request.
func (w *comparer) round(ctx context.Context, set *settings) error {
	generation := w.store.Generation()
	asking, cancel := context.WithTimeoutCause(ctx, set.Timeout, fmt.Errorf("no answer within %s", set.Timeout))
	defer cancel()
	doc, _, changed, err := w.client.Peer(w.address, false).Status(asking, protocol.NewTrace(w.client.self))
	switch {
	case err != nil:
		w.settled = false
		return err
	case doc.ID == w.client.self:
		return errItself
	case doc.Loading:
		w.settled = false
		return errLoading
	case w.settled && !changed && generation == w.compared:
		return nil
	}
	w.settled, w.compared = true, generation
	w.former, w.tries = w.tries, make(map[storage.Name]*try)
	ours, theirs := holdings(w.store), holdingsOf(doc)
	var errs []error
	others := w.slave && !refs.SamePatterns(doc.Patterns, set.Refs)
	if others && !w.others {
		w.log.Warn("a slave's mirrors contain other refs than those of this server: only default branches are compared",
			"slave", w.address, "refs", strings.Join(doc.Patterns, ", "))
	}
	if w.others = others; others {
		byRevision(ours)
		byRevision(theirs)
	}
	errs = append(errs, w.build(ctx, set, lacking(ours, doc.Mirrors, w.store.DeletedAt, set.AllowLocal)))
	if w.slave {
		stale, newer := compare(ours, theirs)
		stale, newer = w.turnAround(stale, newer)
		gone := outlived(theirs, w.store.DeletedAt, ours)
		errs = append(errs, w.push(ctx, set, append(stale, gone...)), w.catchUp(ctx, set, newer))
	}
	if err := errors.Join(errs...); err != nil {
		return &unmended{err}
	}
	return nil
}

// turnAround counts what seems to be newer as stale, if pulling here has not helped
// before: a clock may be wrong.
func (w *comparer) turnAround(stale, newer []difference) (_, still []difference) {
	for _, d := range newer {
		if t := w.former[d.name]; t != nil && t.ours == d.ours && t.theirs == d.theirs {
			stale = append(stale, d)
		} else {
			still = append(still, d)
		}
	}
	return stale, still
}

// due picks the mirrors of a list for which it is time, and notes that something is done
// about them now.
func (w *comparer) due(set *settings, all []difference) (now []difference) {
	when := time.Now()
	for _, d := range all {
		t := w.former[d.name]
		if t == nil || t.ours != d.ours || t.theirs != d.theirs {
			t = &try{ours: d.ours, theirs: d.theirs}
		}
		w.tries[d.name] = t
		w.settled = false
		if t.Ready(when) {
			t.Fail(when, set.Repair)
			now = append(now, d)
		}
	}
	return now
}

// atOnce is how many mirrors are mended at a time on one other server, or from it.
const atOnce = 4

// forEach does something about mirrors, several at a time, and joins what went wrong with
// the first few.
func forEach(ctx context.Context, all []difference, do func(difference) error) error {
	var mu sync.Mutex // guards errs
	var errs []error
	var workers errgroup.Group
	workers.SetLimit(atOnce)
	for _, d := range all {
		if ctx.Err() != nil {
			break
		}
		workers.Go(func() error {
			if err := do(d); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", d.name, err))
			}
			return nil
		})
	}
	_ = workers.Wait() // what goes wrong is in errs
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if n := len(errs); n > maxTold {
		errs = append(errs[:maxTold], fmt.Errorf("and %d more", n-maxTold))
	}
	return errors.Join(errs...)
}

// maxTold is how many mirrors are named that could not be mended.
const maxTold = 5

// push has the slave pull what it has missed, and remove what was removed here. Deletions
// that were accepted here it may carry out as well, as long as the origin has what is here.
func (w *comparer) push(ctx context.Context, set *settings, stale []difference) error {
	return forEach(ctx, w.due(set, stale), func(d difference) error {
		if !d.removed.IsZero() {
			if err := w.remove(ctx, d); err != nil || d.ours == "" {
				return err
			}
		}
		req := w.store.WithCredentials(mirror.Request{
			Name: d.name, Origin: d.origin, Move: d.former, Wanted: d.wanted,
		})
		if !w.others {
			req.Accept = d.accept
		}
		if w.store.Restored(d.name) {
			pulled, err := w.store.Pull(ctx, mirror.Request{Name: d.name})
			if err != nil {
				return err
			}
			req.Wanted = pulled.Snapshot.Wanted
		}
		o := w.client.PropagatePull(ctx, w.address, req, protocol.NewTrace(w.client.self))
		if o.State != protocol.Success {
			return errors.New(o.Error)
		}
		w.log.Info("had a slave pull what it had missed", "mirror", d.name, "slave", w.address)
		return nil
	})
}

// remove has the slave remove a mirror.
func (w *comparer) remove(ctx context.Context, d difference) error {
	o := w.client.PropagateDelete(ctx, w.address, d.name, protocol.NewTrace(w.client.self), d.removed)
	if o.State != protocol.Success {
		return errors.New(o.Error)
	}
	w.log.Info("removed on a slave", "mirror", d.name, "slave", w.address)
	return nil
}

// catchUp pulls here what the slave has pulled later and has other refs of.
func (w *comparer) catchUp(ctx context.Context, set *settings, newer []difference) error {
	return forEach(ctx, w.due(set, newer), func(d difference) error {
		_, err := w.store.Pull(ctx, mirror.Request{Name: d.name})
		return err
	})
}

// build builds mirrors that only the peer has. When an origin's host has turned out to be
// down, what the peer has is taken without asking it again for each mirror.
func (w *comparer) build(ctx context.Context, set *settings, missing []difference) error {
	var mu sync.Mutex // guards down
	down := make(map[string]bool)
	return forEach(ctx, w.due(set, missing), func(d difference) error {
		host := d.origin.Host()
		mu.Lock()
		req := mirror.Request{Name: d.name, Origin: d.origin, Wanted: d.wanted, OriginDown: down[host]}
		mu.Unlock()
		if err := d.refused; err != nil {
			return err
		}
		if w.store.IsReserved(d.name) {
			return nil // somebody has just asked for it here
		}
		if _, err := w.store.Get(d.name); err == nil {
			return nil // and it is done
		}
		run, err := w.store.Begin(req)
		if err != nil {
			return err
		}
		pulled, err := run.Wait(ctx)
		if mirror.IsUnreachable(err) || err == nil && pulled.Snapshot.From != "" {
			mu.Lock()
			down[host] = true
			mu.Unlock()
		}
		return err
	})
}
