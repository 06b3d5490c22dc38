package main

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

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// repairs keep a cluster whole without anybody's help. There is a watch for each other
// server that the configuration names.
type repairs struct {
	mirrors  *Mirrors
	settings func() *settings
	log      *slog.Logger
	life     context.Context

	work    sync.WaitGroup // the watches
	mu      sync.Mutex     // guards watches
	watches map[string]*watch
}

// watch compares this server with one other, from time to time, and mends the
// difference: what a slave has missed, and what only a peer has.
type watch struct {
	*repairs
	address     Address
	slave, peer bool
	stop        context.CancelFunc
	kick        chan struct{} // has an element when a propagation has failed

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

func newRepairs(life context.Context, mirrors *Mirrors, current func() *settings, log *slog.Logger) *repairs {
	return &repairs{mirrors: mirrors, settings: current, log: log, life: life, watches: make(map[string]*watch)}
}

// use watches the servers that the settings name, and no others.
func (rs *repairs) use(set *settings) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	wanted := make(map[string]*watch)
	if set.Repair > 0 {
		for _, address := range set.peers() {
			wanted[address.url] = &watch{repairs: rs, address: address, peer: true}
		}
		for _, address := range set.Slaves {
			if set.Master {
				wanted[address.url].slave = true // it is a peer as well
			}
		}
	}
	for key, w := range rs.watches {
		if same := wanted[key]; same == nil || same.slave != w.slave || same.peer != w.peer {
			w.stop()
			delete(rs.watches, key)
		}
	}
	for key, w := range wanted {
		if rs.watches[key] != nil || rs.life.Err() != nil {
			continue
		}
		ctx, stop := context.WithCancel(rs.life)
		w.stop, w.kick, w.tries = stop, make(chan struct{}, 1), make(map[storage.Name]*try)
		rs.watches[key] = w
		rs.work.Go(func() { w.run(ctx) })
	}
}

// Missed notes that a slave may have missed a request: it is looked after soon.
func (rs *repairs) Missed(slave Address) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if w := rs.watches[slave.url]; w != nil {
		select {
		case w.kick <- struct{}{}:
		default:
		}
	}
}

// Wait returns when no watch is at work any more.
func (rs *repairs) Wait() { rs.work.Wait() }

// soon is the pause after the first sign of a failure; it doubles up to the setting
// repair.
const soon = time.Second

// run compares until ctx ends.
func (w *watch) run(ctx context.Context) {
	select {
	case <-w.mirrors.looked: // before, this server would seem to lack what it has
	case <-ctx.Done():
	}
	var trouble backoff.Backoff
	for ctx.Err() == nil {
		set := w.settings()
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
func (w *watch) tell(ctx context.Context, err error) {
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
func (w *watch) round(ctx context.Context, set *settings) error {
	generation := w.mirrors.Generation()
	asking, cancel := context.WithTimeoutCause(ctx, set.Timeout, fmt.Errorf("no answer within %s", set.Timeout))
	defer cancel()
	doc, changed, err := w.mirrors.siblings.at(w.address, false).Status(asking, []string{w.mirrors.storage.ID})
	switch {
	case err != nil:
		w.settled = false
		return err
	case doc.ID == w.mirrors.storage.ID:
		return errItself
	case doc.Loading:
		w.settled = false
		return errLoading
	case w.settled && !changed && generation == w.compared:
		return nil
	}
	w.settled, w.compared = true, generation
	w.former, w.tries = w.tries, make(map[storage.Name]*try)
	ours, theirs := w.mirrors.holdings(), holdingsOf(doc)
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
	if w.peer {
		errs = append(errs, w.build(ctx, set, lacking(ours, doc.Mirrors, w.mirrors.deletedAt, set.unsecure)))
	}
	if w.slave {
		behind, ahead := compare(ours, theirs)
		behind, ahead = w.turnAround(behind, ahead)
		gone := outlived(theirs, w.mirrors.deletedAt, ours)
		errs = append(errs, w.push(ctx, set, append(behind, gone...)), w.catchUp(ctx, set, ahead))
	}
	if err := errors.Join(errs...); err != nil {
		return &unmended{err}
	}
	return nil
}

// turnAround counts what seems to be ahead as behind, if pulling here has not helped
// before: a clock may be wrong.
func (w *watch) turnAround(behind, ahead []difference) (_, still []difference) {
	for _, d := range ahead {
		if t := w.former[d.name]; t != nil && t.ours == d.ours && t.theirs == d.theirs {
			behind = append(behind, d)
		} else {
			still = append(still, d)
		}
	}
	return behind, still
}

// due picks the mirrors of a list for which it is time, and notes that something is done
// about them now.
func (w *watch) due(set *settings, all []difference) (now []difference) {
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

// each does something about mirrors, several at a time, and joins what went wrong with
// the first few.
func each(ctx context.Context, all []difference, do func(difference) error) error {
	var mu sync.Mutex // guards errs
	var errs []error
	todo := make(chan difference)
	var workers sync.WaitGroup
	for range min(atOnce, len(all)) {
		workers.Go(func() {
			for d := range todo {
				if err := do(d); err != nil {
					mu.Lock()
					errs = append(errs, fmt.Errorf("%s: %w", d.name, err))
					mu.Unlock()
				}
			}
		})
	}
	for _, d := range all {
		if ctx.Err() != nil {
			break
		}
		todo <- d
	}
	close(todo)
	workers.Wait()
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
func (w *watch) push(ctx context.Context, set *settings, behind []difference) error {
	via := []string{w.mirrors.storage.ID}
	return each(ctx, w.due(set, behind), func(d difference) error {
		if !d.removed.IsZero() {
			if err := w.remove(ctx, set, d, via); err != nil || d.ours == "" {
				return err
			}
		}
		req := w.mirrors.withCredentials(set, pullRequest{
			Name: d.name, Origin: d.origin, Move: d.former, Wanted: d.wanted,
		})
		if !w.others {
			req.Accept = d.accept
		}
		if w.mirrors.restored(d.name) {
			pulled, err := w.mirrors.Pull(ctx, set, pullRequest{Name: d.name})
			if err != nil {
				return err
			}
			req.Wanted = pulled.Snapshot.Wanted
		}
		o := propagate(ctx, set, w.address, req, via, set.Timeout)
		if o.State != stateSuccess {
			return errors.New(o.Error)
		}
		w.log.Info("had a slave pull what it had missed", "mirror", d.name, "slave", w.address)
		return nil
	})
}

// remove has the slave remove a mirror.
func (w *watch) remove(ctx context.Context, set *settings, d difference, via []string) error {
	o, err := askDelete(ctx, set, w.address, d.name, via, d.removed)
	switch {
	case err != nil:
		return errtext.RedactError(err, set.accessPolicy().Secrets())
	case o.State != stateSuccess:
		return errors.New(o.Error)
	}
	w.log.Info("removed on a slave", "mirror", d.name, "slave", w.address)
	return nil
}

// catchUp pulls here what the slave has pulled later and has other refs of.
func (w *watch) catchUp(ctx context.Context, set *settings, ahead []difference) error {
	return each(ctx, w.due(set, ahead), func(d difference) error {
		_, err := w.mirrors.Pull(ctx, set, pullRequest{Name: d.name})
		return err
	})
}

// build builds mirrors that only the peer has. When an origin's host has turned out to be
// down, what the peer has is taken without asking it again for each mirror.
func (w *watch) build(ctx context.Context, set *settings, missing []difference) error {
	var mu sync.Mutex // guards down
	down := make(map[string]bool)
	return each(ctx, w.due(set, missing), func(d difference) error {
		host := d.origin.Host()
		mu.Lock()
		req := pullRequest{Name: d.name, Origin: d.origin, Wanted: d.wanted, Stale: down[host]}
		mu.Unlock()
		if err := d.refused; err != nil {
			return err
		}
		if w.mirrors.isClaimed(d.name) {
			return nil // somebody has just asked for it here
		}
		if _, err := w.mirrors.Get(set, d.name); err == nil {
			return nil // and it is done
		}
		release, err := w.mirrors.Admit(set, req)
		if err != nil {
			return err
		}
		defer release()
		pulled, err := w.mirrors.Pull(ctx, set, req)
		if err != nil || pulled.Snapshot.From != "" {
			mu.Lock()
			down[host] = true
			mu.Unlock()
		}
		return err
	})
}
