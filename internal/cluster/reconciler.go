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
	"github.com/reconquest/sould/internal/units"
)

// Reconciler keeps the servers of a cluster equal: it compares this server with each other one
// from time to time, and removes the differences.
type Reconciler struct {
	store  *mirror.Store
	client *Client
	log    *slog.Logger
	life   context.Context
	pushed func(mirror string) // called when a slave has pulled or removed what it had missed

	running   sync.WaitGroup       // the comparers' goroutines
	mu        sync.Mutex           // guards comparers
	comparers map[string]*comparer // by the URL of the other server
}

// comparer compares this server with one other: it passes on to a slave what it has missed, and
// builds here the mirrors that only the other server has.
type comparer struct {
	*Reconciler
	address protocol.Address
	slave   bool // the other server is a slave, not only a peer
	latest  comparison
	stop    context.CancelFunc
	kick    chan struct{} // has an element when a propagation has failed

	// Owned by run.
	compared    uint64 // the store's generation at the last comparison
	version     uint64 // of the other server's status at the last comparison
	settled     bool   // the last comparison has left nothing to do
	logged      string // the error that was logged last; empty if the last comparison succeeded
	otherRefs   bool   // the other server's mirrors contain other refs
	unreachable bool   // the other server could not be asked when logged was set
	tries       map[storage.Name]*try
	former      map[storage.Name]*try // the tries of the comparison before

	mu   sync.Mutex // guards plan, which others read
	plan plan
}

// plan is when a comparer will do something.
type plan struct {
	next  time.Time                  // the next comparison
	tries map[storage.Name]time.Time // before which a mirror that differs is not tried again
}

// try records that something was done about a mirror that differs, and when it may be done again.
type try struct {
	ours, theirs refs.Fingerprint
	backoff.Backoff
}

// NewReconciler returns a reconciler that works until life ends. It starts with Configure. pushed is called
// with the name of a mirror when a slave has pulled what it had missed of it.
func NewReconciler(life context.Context, store *mirror.Store, client *Client, log *slog.Logger, pushed func(mirror string)) *Reconciler {
	return &Reconciler{store: store, client: client, log: log, life: life, pushed: pushed, comparers: make(map[string]*comparer)}
}

// Configure starts and stops comparers, so that there is one for each server that the client's
// options name.
func (rc *Reconciler) Configure() {
	opts := rc.client.current.Load()
	rc.mu.Lock()
	defer rc.mu.Unlock()
	wanted := make(map[string]*comparer)
	if opts.Repair > 0 {
		for _, address := range opts.servers() {
			wanted[address.URL()] = &comparer{Reconciler: rc, address: address, latest: comparison{began: time.Now()}}
		}
		for _, address := range opts.Slaves {
			wanted[address.URL()].slave = true
		}
	}
	for key, c := range rc.comparers {
		if same := wanted[key]; same == nil || same.slave != c.slave {
			c.stop()
			delete(rc.comparers, key)
		}
	}
	for key, c := range wanted {
		if rc.comparers[key] != nil || rc.life.Err() != nil {
			continue
		}
		ctx, stop := context.WithCancel(rc.life)
		c.stop, c.kick, c.tries = stop, make(chan struct{}, 1), make(map[storage.Name]*try)
		rc.comparers[key] = c
		rc.running.Go(func() { c.run(ctx) })
	}
}

// Missed has a slave compared soon, because it may have missed a request.
func (rc *Reconciler) Missed(slave protocol.Address) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if c := rc.comparers[slave.URL()]; c != nil {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
}

// Wait returns when all comparers have ended.
func (rc *Reconciler) Wait() { rc.running.Wait() }

// soon is the pause after a first failure; it doubles up to the setting repair.
const soon = time.Second

// run compares until ctx ends.
func (c *comparer) run(ctx context.Context) {
	select {
	case <-c.store.Ready():
	case <-ctx.Done():
	}
	var trouble backoff.Backoff
	for ctx.Err() == nil {
		set := c.client.current.Load()
		err := c.round(ctx, set)
		c.logNews(ctx, err)
		pause := set.Repair
		if err == nil {
			trouble.Reset()
		} else if trouble.Wait > 0 || errors.Is(err, errLoading) { // it may be over soon
			trouble.Fail(time.Now(), soon)
			pause = min(trouble.Wait, pause)
		}
		pause = jitter(pause)
		c.announce(pause)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-c.kick:
			trouble.Fail(time.Now(), soon)
			pause = jitter(min(soon, set.Repair))
			c.announce(pause)
			timer.Reset(pause)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
		timer.Stop()
	}
}

// announce makes known what the comparer will do, and that its next comparison begins after a pause.
func (c *comparer) announce(pause time.Duration) {
	p := plan{next: time.Now().Add(pause), tries: make(map[storage.Name]time.Time, len(c.tries))}
	for name, t := range c.tries {
		p.tries[name] = t.Until
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plan = p
}

// Next returns when this server is compared with another one again, and before when a difference of
// that mirror is not tried again. Both are zero if that is not known.
func (rc *Reconciler) Next(server protocol.Address, name storage.Name) (comparison, try time.Time) {
	rc.mu.Lock()
	c := rc.comparers[server.URL()]
	rc.mu.Unlock()
	if c == nil {
		return comparison, try
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plan.next, c.plan.tries[name]
}

// jitter returns between half of d and d, so that the servers do not all compare at one moment.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// logNews logs the result of a comparison if it is not that of the one before.
func (c *comparer) logNews(ctx context.Context, err error) {
	words, unrepaired := "", (*unrepairedError)(nil)
	if err != nil {
		words = err.Error()
	}
	log := c.log.With("server", c.address)
	switch {
	case ctx.Err() != nil || words == c.logged || errors.Is(err, errLoading):
		return
	case errors.As(err, &unrepaired):
		log.Warn("can't repair every difference from another server", "err", err)
	case err != nil:
		log.Warn("can't compare with another server", "err", err)
	case c.unreachable:
		log.Info("comparing with another server again")
	case !c.settled:
		return // a failed repair waits for its next try
	default:
		log.Info("every difference from another server is repaired")
	}
	c.logged, c.unreachable = words, err != nil && unrepaired == nil
}

// unrepairedError is the error of a comparison that could not remove all differences.
type unrepairedError struct{ error }

func (u *unrepairedError) Unwrap() error { return u.error }

// errLoading is the error for a server that has just started, and cannot be compared yet.
var errLoading = errors.New("it does not know yet what it has")

// round compares once, and removes the differences. If the last round has left nothing to do, and
// nothing has changed on either side since, it costs only a conditional request.
func (c *comparer) round(ctx context.Context, set *settings) error {
	if set.itself.has(c.address.URL()) && set.isItself(ctx, c.address) {
		c.latest.foundItself()
		return nil
	}
	began, generation := time.Now(), c.store.Generation()
	asking, cancel := context.WithTimeoutCause(ctx, set.Timeout, fmt.Errorf("no answer within %s", units.FormatDuration(set.Timeout)))
	defer cancel()
	doc, version, err := c.client.peer(c.address, false).status(asking, protocol.NewTrace(c.client.self))
	switch {
	case errors.Is(err, errItself):
		c.latest.foundItself()
		return nil
	case err != nil:
		c.settled = false
		c.latest.failed()
		return err
	case doc.ID == c.client.self:
		c.latest.failed()
		return errSameID
	case doc.Loading:
		c.settled = false
		return errLoading
	case c.settled && version == c.version && generation == c.compared:
		c.latest.same(began)
		return nil
	}
	c.settled, c.compared, c.version = true, generation, version
	c.former, c.tries = c.tries, make(map[storage.Name]*try)
	ours, theirs := holdings(c.store), holdingsOf(doc)
	var errs []error
	otherRefs := c.slave && !refs.SamePatterns(doc.Patterns, set.Refs)
	if otherRefs && !c.otherRefs {
		c.log.Warn("a slave's mirrors contain other refs than those of this server: only default branches are compared",
			"slave", c.address, "refs", strings.Join(doc.Patterns, ", "))
	}
	if c.otherRefs = otherRefs; otherRefs {
		byRevision(ours)
		byRevision(theirs)
	}
	missing := lacking(ours, doc.Mirrors, c.store.DeletedAt, set.AllowLocal)
	var stale, newer []difference
	if c.slave {
		stale, newer = c.distrustClocks(compare(ours, theirs))
		stale = append(stale, outlived(theirs, c.store.DeletedAt, ours)...)
	}
	c.latest.found(began, len(stale), len(newer), len(missing))
	errs = append(errs, c.build(ctx, set, missing))
	if c.slave {
		errs = append(errs, c.push(ctx, set, stale), c.catchUp(ctx, set, newer))
	}
	if err := errors.Join(errs...); err != nil {
		return &unrepairedError{err}
	}
	return nil
}

// distrustClocks moves from newer to stale the mirrors that a pull here has not changed before: a
// clock may be wrong.
func (c *comparer) distrustClocks(stale, newer []difference) (_, left []difference) {
	for _, d := range newer {
		if t := c.former[d.name]; t != nil && t.isFor(d) {
			stale = append(stale, d)
		} else {
			left = append(left, d)
		}
	}
	return stale, left
}

// ByComparison begins the By of a pull that a comparison with another server finds to be due.
const ByComparison = "the comparison with "

func (c *comparer) by() string { return ByComparison + c.address.String() }

// isFor reports whether the try was about the same difference.
func (t *try) isFor(d difference) bool { return t.ours == d.ours && t.theirs == d.theirs }

// due returns the differences that may be tried now, and records a try for each.
func (c *comparer) due(set *settings, all []difference) (due []difference) {
	now := time.Now()
	for _, d := range all {
		t := c.former[d.name]
		if t == nil || !t.isFor(d) {
			t = &try{ours: d.ours, theirs: d.theirs}
		}
		c.tries[d.name] = t
		c.settled = false
		if t.Ready(now) {
			t.Fail(now, set.Repair) // counts as failed until the mirror is equal
			due = append(due, d)
		}
	}
	return due
}

const (
	// maxRepairs is how many differences from one other server are repaired at the same time.
	maxRepairs = 4

	// maxNamed is how many mirrors an error names.
	maxNamed = 5
)

// forEach calls do for each difference, several at a time, and joins the errors. The joined error
// names maxNamed mirrors at most.
func (c *comparer) forEach(ctx context.Context, all []difference, do func(difference) error) error {
	var mu sync.Mutex // guards errs
	var errs []error
	var workers errgroup.Group
	workers.SetLimit(maxRepairs)
	for _, d := range all {
		if ctx.Err() != nil {
			break
		}
		workers.Go(func() error {
			err := do(d)
			if c.latest.tried(err); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", d.name, err))
			}
			return nil
		})
	}
	_ = workers.Wait() // the errors are in errs
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if n := len(errs); n > maxNamed {
		errs = append(errs[:maxNamed], fmt.Errorf("and %d more", n-maxNamed))
	}
	return errors.Join(errs...)
}

// push asks the slave to pull the mirrors that it has missed, and to remove those that were removed
// here. The slave may carry out deletions that were accepted here, as long as the origin has just
// what this server has.
func (c *comparer) push(ctx context.Context, set *settings, stale []difference) error {
	return c.forEach(ctx, c.due(set, stale), func(d difference) error {
		if !d.removed.IsZero() {
			if err := c.remove(ctx, d); err != nil {
				return err
			}
			if d.ours == "" {
				c.pushed(d.name.String())
				return nil
			}
		}
		req := c.store.WithCredentials(mirror.Request{
			Name: d.name, Origin: d.origin, Move: d.former, Wanted: d.wanted,
		})
		if !c.otherRefs {
			req.Accept = d.accept
		}
		if c.store.Restored(d.name) {
			pulled, err := c.store.Pull(ctx, mirror.Request{Name: d.name, By: c.by()})
			if err != nil {
				return err
			}
			req.Wanted = pulled.Snapshot.Wanted
		}
		o := c.client.PropagatePull(ctx, c.address, req, protocol.NewTrace(c.client.self), nil)
		if o.State != protocol.Success {
			return errors.New(o.Error)
		}
		c.log.Info("had a slave pull what it had missed", "mirror", d.name, "slave", c.address)
		c.pushed(d.name.String())
		return nil
	})
}

// remove asks the slave to remove a mirror.
func (c *comparer) remove(ctx context.Context, d difference) error {
	o := c.client.PropagateDelete(ctx, c.address, d.name, protocol.NewTrace(c.client.self), d.removed)
	if o.State != protocol.Success {
		return errors.New(o.Error)
	}
	c.log.Info("removed on a slave", "mirror", d.name, "slave", c.address)
	return nil
}

// catchUp pulls here the mirrors that are newer on the slave.
func (c *comparer) catchUp(ctx context.Context, set *settings, newer []difference) error {
	return c.forEach(ctx, c.due(set, newer), func(d difference) error {
		_, err := c.store.Pull(ctx, mirror.Request{Name: d.name, By: c.by()})
		return err
	})
}

// build builds the mirrors that only the peer has. Once an origin's host has turned out to be down,
// its other mirrors are taken from the peer without asking anybody to pull them first.
func (c *comparer) build(ctx context.Context, set *settings, missing []difference) error {
	var mu sync.Mutex             // guards down
	down := make(map[string]bool) // hosts of origins
	return c.forEach(ctx, c.due(set, missing), func(d difference) error {
		host := d.origin.Host()
		mu.Lock()
		req := mirror.Request{Name: d.name, Origin: d.origin, Wanted: d.wanted, OriginDown: down[host], By: c.by()}
		mu.Unlock()
		if err := d.refused; err != nil {
			return err
		}
		if c.store.IsReserved(d.name) {
			return nil // a request for it is being worked on
		}
		if _, err := c.store.Get(d.name); err == nil {
			return nil // a request has built it
		}
		run, err := c.store.Begin(req)
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
