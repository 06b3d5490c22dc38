// Package propagate has work done on this server and, at the same time, on its slaves: what a POST or a
// DELETE asks for, and what this server has noticed by itself. The work goes on when the client goes away.
//
//	propagate.go     what can be begun, and how much at once
//	work.go          what this server does of it, and what is asked of a slave
//	propagation.go   what has begun: what became of it on each server up to now
//	verdict.go       the HTTP status that all of that together has
//	answer.go        what a client is told, while it goes on and at its end
package propagate

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

// Parts are what a propagator is made of.
type Parts struct {
	ID     string          // of this server
	Life   context.Context // of the work
	Store  *mirror.Store
	Client *cluster.Client // asks the slaves
	Log    *slog.Logger

	Missed  func(slave protocol.Address) // a slave could not do its part
	Settled func(mirror string)          // all servers have done theirs, or could not
	Purge   func(mirror string)          // a mirror was removed: what was made of it has to go
}

// Propagator has work done on several servers. Its methods are safe for concurrent use.
type Propagator struct {
	Parts
	places limiter.Slots // of propagations, and of work of this server alone
	work   sync.WaitGroup
}

// New returns a propagator.
func New(parts Parts) *Propagator { return &Propagator{Parts: parts} }

// Wait returns when nothing is at work. Nobody may begin anything meanwhile.
func (p *Propagator) Wait() { p.work.Wait() }

// Bounds of what goes on without a client that waits for it.
const (
	maxPropagations     = 2 << 10  // at once
	maxPropagationParts = 32 << 10 // of them, one for each server
	leastPropagations   = 16       // however many slaves there are
)

// Places is how many propagations there may be at once on a server with so many slaves.
func Places(slaves int) int {
	return max(min(maxPropagations, maxPropagationParts/(1+slaves)), leastPropagations)
}

// Stats returns how busy a server with so many slaves is.
func (p *Propagator) Stats(slaves int) limiter.Stats {
	return limiter.Stats{Places: Places(slaves), Taken: p.places.Taken()}
}

// Place takes a place for work of this server alone. The error is limiter.ErrBusy.
func (p *Propagator) Place() (release func(), err error) { return p.places.Release, p.take(0) }

// take takes one of the places for work on so many slaves. The error is limiter.ErrBusy.
func (p *Propagator) take(slaves int) error {
	if !p.places.Take(Places(slaves)) {
		return limiter.ErrBusy
	}
	return nil
}

// onward are those of the slaves that a request is passed on to. One that has been here before, by way of a
// slave, goes no further.
func (p *Propagator) onward(slaves []protocol.Address, trace protocol.Trace) []protocol.Address {
	if len(slaves) == 0 || trace.Passed(p.ID) {
		return nil
	}
	return p.Client.Others(slaves)
}

// Told says what the client of a propagation wants to be told, beside the report. The zero value is for no
// client.
type Told struct {
	Progress bool   // how far the work is
	Why      string // where more is said if it fails; empty for another server
}

// Pull has this server and slaves pull. The error is a *storage.Conflict, or limiter.ErrBusy.
func (p *Propagator) Pull(req mirror.Request, trace protocol.Trace, slaves []protocol.Address, told Told) (*Propagation, error) {
	slaves = p.onward(slaves, trace)
	if err := p.take(len(slaves)); err != nil {
		return nil, err
	}
	run, err := p.Store.Begin(req)
	if err != nil {
		p.places.Release()
		return nil, err
	}
	g := &Propagation{
		tells: told.Progress, why: told.Why, name: req.Name.String(), origin: req.Origin.String(),
		progress: func() *mirror.Progress { return p.Store.Progress(req.Name) },
	}
	return p.start(&pull{run, p.Client, p.Store.WithCredentials(req)}, g, slaves, trace), nil
}

// Delete has this server and slaves remove a mirror, as somebody has asked for at that time. The error is
// limiter.ErrBusy.
func (p *Propagator) Delete(name storage.Name, at time.Time, trace protocol.Trace, slaves []protocol.Address) (*Propagation, error) {
	slaves = p.onward(slaves, trace)
	if err := p.take(len(slaves)); err != nil {
		return nil, err
	}
	g := &Propagation{name: name.String(), progress: func() *mirror.Progress { return p.Store.Progress(name) }}
	return p.start(&deletion{p, name, at}, g, slaves, trace), nil
}

// PassOn has slaves pull what this server has pulled already. If that cannot be done now, the next
// comparison with them does it.
func (p *Propagator) PassOn(name storage.Name, result mirror.Result, by string, slaves []protocol.Address) {
	now, trace := result.Snapshot, protocol.NewClientTrace()
	slaves = p.onward(slaves, trace)
	if len(slaves) == 0 || p.take(len(slaves)) != nil {
		return
	}
	// It is no new request for the mirror: a DELETE that comes meanwhile holds.
	req := mirror.Request{ID: trace.ID, Name: name, Origin: now.Origin, Wanted: now.Wanted, By: by}
	g := &Propagation{name: name.String(), origin: now.Origin.String(), progress: func() *mirror.Progress { return nil }}
	p.start(&pulled{result, &pull{client: p.Client, onward: req}}, g, slaves, trace)
}

// start has the work done here and on all slaves at once. A place was taken for it.
func (p *Propagator) start(w work, g *Propagation, slaves []protocol.Address, trace protocol.Trace) *Propagation {
	g.id, g.first, g.request, g.label = p.ID, trace.Begins, trace.ID, g.name
	if len(slaves) > 0 {
		g.label = "master"
	}
	g.began, g.here, g.done = time.Now(), make(chan struct{}), make(chan struct{})
	g.outcome = protocol.Outcome{State: protocol.Processing, Slaves: make([]protocol.Outcome, len(slaves))}
	trace = trace.Through(p.ID)
	var parts sync.WaitGroup
	for i, slave := range slaves {
		g.outcome.Slaves[i] = protocol.Outcome{Address: slave.String(), State: protocol.Processing}
		parts.Go(func() {
			o := w.onSlave(p.Life, slave, trace, g.tellOf(slave))
			g.recordSlave(i, o)
			if o.State == protocol.Failed {
				p.Missed(slave)
			}
		})
	}
	p.work.Go(func() {
		o := w.here(p.Life)
		o.Seconds = time.Since(g.began).Seconds()
		g.record(func(all *protocol.Outcome) { o.Slaves = all.Slaves; *all = o })
		close(g.here)
		parts.Wait()
		p.places.Release()
		p.Settled(g.name)
		g.log(p.Log) // before the answer: who has that finds it in the log
		close(g.done)
	})
	return g
}
