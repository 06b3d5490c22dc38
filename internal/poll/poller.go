package poll

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// LeastInterval is the shortest interval of a mirror.
const LeastInterval = time.Second

// Options are the part of the configuration that a poller uses.
type Options struct {
	Places int // looks at the same time

	// Every is the interval of a mirror, as its snapshot shows it; 0 for no looks, LeastInterval at
	// least. It is nil if no mirror is looked at.
	Every func(storage.Name, *mirror.Snapshot) time.Duration
}

// Parts are what a poller is made of, beside its options.
type Parts struct {
	Store *mirror.Store
	Log   *slog.Logger

	// Changed is called when a look has brought something new, so that other servers hear of it. It
	// must not wait for them.
	Changed func(storage.Name, mirror.Result)
}

// Poller looks at mirrors. Its methods are safe for concurrent use.
type Poller struct {
	store   *mirror.Store
	log     *slog.Logger
	changed func(storage.Name, mirror.Result)

	subjects func(*Options) []subject
	look     func(context.Context, *job) (outcome, mirror.Result)

	options atomic.Pointer[Options]
	wake    chan struct{} // has an element when there may be something to do

	results     [3]atomic.Uint64 // looks that have changed the mirror, have brought nothing, have failed
	unannounced atomic.Uint64

	mu    sync.Mutex // guards all below
	plan  *planner
	until time.Time // when loop looks by itself for what is to be done
}

// New returns a poller of a store's mirrors. Run does the looks.
func New(parts Parts, options *Options) *Poller {
	p := newPoller(parts, options)
	p.subjects, p.look = p.storeSubjects, p.pull
	p.plan = newPlanner(time.Now(), parts.Store.PausedUntil)
	return p
}

func newPoller(parts Parts, options *Options) *Poller {
	p := &Poller{store: parts.Store, log: parts.Log, changed: parts.Changed, wake: make(chan struct{}, 1)}
	p.options.Store(options)
	return p
}

// Configure puts options in force. Looks that run go on.
func (p *Poller) Configure(options *Options) {
	p.options.Store(options)
	p.kick()
}

// kick makes loop look at once for what is to be done.
func (p *Poller) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run looks at mirrors until ctx ends, from when the store knows all of them.
func (p *Poller) Run(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-p.store.Ready():
		p.loop(ctx)
	}
}

// How often the plan is told which mirrors there are: at least every longestSync, and more often as long
// as that takes no more than a part of the time.
const (
	shortestSync = time.Second
	longestSync  = 10 * time.Second
	syncShare    = 1000
)

// loop begins looks when they are due, until ctx ends; then it waits for those that run.
func (p *Poller) loop(ctx context.Context) {
	var looks sync.WaitGroup
	defer looks.Wait()
	var opts *Options // that the plan was made with
	var next time.Time
	for ctx.Err() == nil {
		now := time.Now()
		if current := p.options.Load(); current != opts || !now.Before(next) {
			opts = current
			p.sync(now, opts)
			next = now.Add(min(max(syncShare*time.Since(now), shortestSync), longestSync))
		}
		for _, j := range p.due(now) {
			looks.Go(func() { p.do(ctx, j) })
		}
		pause := time.NewTimer(p.pause(now, opts, next))
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// sync makes known to the plan which mirrors there are.
func (p *Poller) sync(now time.Time, opts *Options) {
	var all []subject
	if opts.Every != nil {
		all = p.subjects(opts)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan.places = opts.Places
	p.plan.sync(now, all)
}

// storeSubjects are the mirrors that are looked at: those that can be read and may be pulled.
func (p *Poller) storeSubjects(opts *Options) []subject {
	all := p.store.All()
	subjects := make([]subject, 0, len(all))
	for _, m := range all {
		s := m.Snapshot()
		if s == nil || !s.Origin.Known() || !p.store.MayPull(s.Origin) {
			continue
		}
		if every := opts.Every(m.Name, s); every > 0 {
			subjects = append(subjects, subject{m.Name, s.Origin, max(every, LeastInterval), !s.Gone.IsZero()})
		}
	}
	return subjects
}

// due returns the looks that are to be done now.
func (p *Poller) due(now time.Time) (all []*job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for j := p.plan.next(now); j != nil; j = p.plan.next(now) {
		all = append(all, j)
	}
	return all
}

// pause is how long there is nothing to do, unless something happens. next is the time of the next
// sync.
func (p *Poller) pause(now time.Time, opts *Options, next time.Time) time.Duration {
	if opts.Every == nil {
		return time.Duration(1<<63 - 1) // until Configure
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if due := p.plan.wake(); !due.IsZero() && due.Before(next) {
		next = due
	}
	p.until = next
	return max(next.Sub(now), 0)
}

// do does a look. If that has found a change, do tells of it, and ends when it is known whether the
// change was announced.
func (p *Poller) do(ctx context.Context, j *job) {
	o, result := p.look(ctx, j)
	p.mu.Lock()
	p.plan.done(time.Now(), j, o)
	due := p.plan.wake()
	early := !due.IsZero() && due.Before(p.until)
	p.mu.Unlock()
	if early {
		p.kick()
	}
	if now := result.Snapshot; now != nil && result.Changed > 0 && ctx.Err() == nil {
		p.changed(j.name, result)
		if j.asked.known { // of what came before this process was started, nobody knows
			p.judge(ctx, j, now.Pulled)
		}
	}
}

// pull looks at the origin of a mirror, unless a pull has done so a moment ago.
func (p *Poller) pull(ctx context.Context, j *job) (o outcome, result mirror.Result) {
	o.asked = asked{true, p.store.Asked(j.name)}
	m, err := p.store.Get(j.name)
	if err != nil {
		return o, result
	}
	o.changed = m.RefsChanged() // after a start, nobody else knows
	if j.isFresh(m.Snapshot(), o.changed, time.Now()) {
		o.ending = answered
		return o, result
	}
	result, err = p.store.Pull(ctx, mirror.Request{Name: j.name, By: mirror.ByPoll, Poll: true})
	switch {
	case ctx.Err() != nil, errors.Is(err, limiter.ErrBusy), errors.Is(err, mirror.ErrUnknown):
		return o, result
	case mirror.IsOriginDown(err):
		o.ending = down
	case err != nil:
		o.ending = failed
	default:
		o.ending = answered
	}
	p.results[resultOf(err, result)].Add(1)
	o.changed = m.RefsChanged()
	return o, result
}

// isFresh reports whether a mirror whose refs changed at that time was pulled from its origin so short a time ago
// that the look is too early, as it may be after a start. A date in the future says nothing: the clock was set back.
func (j *job) isFresh(s *mirror.Snapshot, changed, now time.Time) bool {
	age, period := now.Sub(s.Pulled), period(j.every, ageOf(changed, now), 0, j.gone)
	return s.Outcome == mirror.Success && s.From == "" && age >= 0 && age < period/2
}
