package ondemand

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/tally"
)

// Options are the part of the configuration that a maker uses. Nobody changes them once they are in
// force.
type Options struct {
	Tables  Tables
	Origins origin.Policy // which origins may be read
	Places  int           // runs at once; more wait in line
	Retry   time.Duration // how long a failure is remembered
}

// Begin has a pull make a mirror: [mirror.Store.Begin]. wait waits for the end of the pull.
type Begin func(req mirror.Request) (wait func(ctx context.Context) error, err error)

// Paused tells until when the host of an origin wants to be left alone: [mirror.Store.PausedUntil].
type Paused func(host string) time.Time

// Maker makes mirrors at their first read. Its methods are safe for concurrent use.
type Maker struct {
	life    context.Context // of the runs
	begin   Begin
	paused  Paused
	options atomic.Pointer[Options]
	line    limiter.Limiter
	work    sync.WaitGroup // of the runs
	counts  counts

	mu     sync.Mutex // guards all below
	runs   map[storage.Name]*Run
	failed memory
}

// NewMaker returns a maker. Its runs end when life does.
func NewMaker(life context.Context, begin Begin, paused Paused, options *Options) *Maker {
	m := &Maker{life: life, begin: begin, paused: paused, runs: make(map[storage.Name]*Run)}
	m.Configure(options)
	return m
}

// Configure puts options in force, and forgets what has failed. Runs go on as they began.
func (m *Maker) Configure(options *Options) {
	m.options.Store(options)
	m.line.Resize(options.Places)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = memory{}
}

// Wait returns when no run is left. Nobody may ask for one meanwhile.
func (m *Maker) Wait() { m.work.Wait() }

// Mirror returns the name of the mirror that a name below a prefix means; the name itself if no table
// has it.
func (m *Maker) Mirror(name storage.Name) storage.Name {
	if rule, path, ok := m.options.Load().Tables.Find(name); ok {
		if short, err := rule.Name(path); err == nil {
			return short
		}
	}
	return name
}

// Run is the making of one mirror, for all who ask for it.
type Run struct {
	Name  storage.Name // of the mirror, which may be shorter than that which was asked for
	rule  Rule
	from  origin.URL
	begun bool          // guarded by Maker.mu; else it waits in line
	done  chan struct{} // closed when it is over
	err   *Failure      // set when done is closed; nil if the mirror is there
}

// Start begins to make the mirror that a name means, or joins those for whom it is being made. by is the
// reader's address. The error is a *Failure, or mirror.ErrUnknown if no table has the name.
func (m *Maker) Start(name storage.Name, by string) (*Run, error) {
	o := m.options.Load()
	rule, path, ok := o.Tables.Find(name)
	if !ok {
		return nil, mirror.ErrUnknown
	}
	name, err := rule.Name(path)
	if err != nil {
		return nil, &Failure{Kind: Illegal, err: err}
	}
	from, err := rule.Origin(path)
	if err != nil {
		return nil, &Failure{Kind: Illegal, err: err}
	}
	if err := o.Origins.Check(from); err != nil {
		return nil, &Failure{Kind: Forbidden, err: err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.failed.find(name, time.Now()); f != nil {
		m.counts.remembered.Add(1)
		return nil, f
	}
	if r := m.runs[name]; r != nil {
		m.counts.joined.Add(1)
		return r, nil
	}
	r := &Run{Name: name, rule: rule, from: from, done: make(chan struct{})}
	m.runs[name] = r
	m.work.Go(func() {
		m.finish(o, r, m.make(r, mirror.Request{Name: name, Origin: from, By: by, OnDemand: true, PeersFirst: true}))
	})
	return r, nil
}

// make makes the mirror of a run when its turn comes. Who has asked for many mirrors has no more turns
// than who has asked for one, and those of a host that hangs keep nobody from those of another.
func (m *Maker) make(r *Run, req mirror.Request) error {
	for {
		if err := m.line.AcquireWithin(m.life, req.By+" "+r.from.Host(), max(r.rule.FirstPatience, minWait)); err != nil {
			return err
		}
		other := m.reserve(r)
		if other == nil {
			break
		}
		m.line.Release()
		select {
		case <-other.done:
		case <-m.life.Done():
			return context.Cause(m.life)
		}
	}
	defer m.line.Release()
	if rule, _, ok := m.options.Load().Tables.Find(r.Name); !ok || rule.Template != r.rule.Template {
		return mirror.ErrUnknown // a reload has removed the table
	}
	began := time.Now()
	wait, err := m.begin(req)
	if err == nil {
		err = wait(m.life)
	}
	m.counts.record(err, time.Since(began))
	return err
}

// minWait is how long a run waits in line at least, however short the patience of readers is.
const minWait = time.Minute

// reserve marks that a run has begun, or returns one that must end before: while it is not known
// whether there is a mirror of that name, it stands in the way of those inside it and above it.
func (m *Maker) reserve(r *Run) (before *Run) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, other := range m.runs {
		if other.begun && (name.Inside(r.Name) || r.Name.Inside(name)) {
			return other
		}
	}
	r.begun = true
	return nil
}

// finish ends a run.
func (m *Maker) finish(o *Options, r *Run, err error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.runs, r.Name)
	if err != nil {
		r.err = failure(r.Name, r.from, err)
		if r.err.lasts() {
			r.err.Until = now.Add(o.Retry)
			if r.err.Again = r.err.Until; m.paused(r.from.Host()).After(r.err.Again) {
				r.err.Again = m.paused(r.from.Host())
			}
			if m.options.Load() == o { // else another table may mean another origin
				m.failed.add(r.err, now)
			}
		}
	}
	close(r.done)
}

// errPatience is why a reader waits no longer.
var errPatience = errors.New("it is taking longer than first_patience")

// Wait waits until the mirror is there, as long as the reader's patience lasts. The error is a *Failure,
// or the cause of ctx's end. The run goes on without the reader.
func (r *Run) Wait(ctx context.Context) error { return r.WaitUnless(ctx, nil) }

// WaitUnless is Wait, but it returns nil as soon as the reader has what is enough.
func (r *Run) WaitUnless(ctx context.Context, enough <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.rule.FirstPatience, errPatience)
	defer cancel()
	select {
	case <-r.done:
	case <-enough:
		return nil
	case <-ctx.Done():
		if context.Cause(ctx) == errPatience {
			return &Failure{Kind: Later, err: fmt.Errorf("the mirror %s is being made, and will be there later: %w", r.Name, errPatience)}
		}
		return context.Cause(ctx)
	}
	if r.err != nil {
		return r.err
	}
	return nil
}

// counts is what a maker counts.
type counts struct {
	made, failed       tally.Durations
	joined, remembered atomic.Uint64
}

func (c *counts) record(err error, took time.Duration) {
	switch {
	case errors.Is(err, mirror.ErrClosing):
	case err != nil:
		c.failed.Add(took)
	default:
		c.made.Add(took)
	}
}

// Stats is what a maker has counted since it was made, and how busy it is at a moment.
type Stats struct {
	Made, Failed tally.Counts  // runs that have begun and ended
	Joined       uint64        // first reads that have joined a run
	Remembered   uint64        // that were answered by what had failed a moment ago
	Line         limiter.Stats // runs
}

// Stats returns what was counted up to now.
func (m *Maker) Stats() Stats {
	c := &m.counts
	return Stats{c.made.Counts(), c.failed.Counts(), c.joined.Load(), c.remembered.Load(), m.line.Stats()}
}
