package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/units"
)

// work is what a POST or a DELETE has this server and its slaves do.
type work interface {
	here(ctx context.Context) protocol.Outcome
	// tell gets what the slave says of its progress; nil if nobody wants to know.
	onSlave(ctx context.Context, slave protocol.Address, trace protocol.Trace, tell func(protocol.Line)) protocol.Outcome
}

// propagation is work that has begun, on this server and on its slaves. It goes on when the
// client goes away.
type propagation struct {
	id           string // of this server
	request      string // its id
	first        bool   // the request began here
	tells        bool   // the client wants to be told of the progress
	name, origin string // for the report
	why          string // where the client is told why it has failed; empty for another server
	label        string // of this server in a line of progress
	began        time.Time
	progress     func() *mirror.Progress
	pulled       chan struct{} // closed when this server's own part is over
	done         chan struct{} // closed when all is over

	mu      sync.Mutex // guards all below
	outcome protocol.Outcome
	size    int // of what the slaves told
	below   protocol.Lines
}

// Bounds of what goes on without a client that waits for it.
const (
	maxPropagations     = 2 << 10  // at once
	maxPropagationParts = 32 << 10 // of them, one for each server
	leastPropagations   = 16       // however many slaves there are
)

// propagationBound is how many propagations there may be at once on a server with so many
// slaves.
func propagationBound(slaves int) int {
	return max(min(maxPropagations, maxPropagationParts/(1+slaves)), leastPropagations)
}

// takePlace takes one of the places for work on so many slaves. The error is limiter.ErrBusy.
func (s *Server) takePlace(slaves int) error {
	if !s.places.Take(propagationBound(slaves)) {
		return limiter.ErrBusy
	}
	return nil
}

// slavesFor are the slaves that a request is passed on to, if it may be passed on. One that has
// been here before, by way of a slave, goes no further.
func (s *Server) slavesFor(set *settings, trace protocol.Trace, passOn bool) []protocol.Address {
	if !set.Master || !passOn || trace.Passed(s.id) {
		return nil
	}
	return s.mirrors.client.Others(set.Slaves)
}

// command has this server and, if it is a master, its slaves pull, as a POST would: for what has
// noticed by itself that an origin has changed. req says who that is (By). Nobody waits for it; the
// result is in the log and, when p.done is closed, in p.report. A mirror that reads have made
// can stay this server's own (Own). The error is a *storage.Conflict, or limiter.ErrBusy.
func (s *Server) command(req mirror.Request) (p *propagation, err error) {
	set, trace := s.settings(), protocol.NewClientTrace()
	if err := set.originPolicy().Check(req.Origin); err != nil {
		return nil, &fault{kindForbidden, err}
	}
	req.ID = trace.ID
	if req.Wanted.IsZero() && !req.Own {
		req.Wanted = s.mirrors.store.NextIntent(req.Name, time.Now())
	}
	p = &propagation{}
	if err := s.startPull(p, req, trace, s.slavesFor(set, trace, !req.Own)); err != nil {
		return nil, err
	}
	return p, nil
}

// fanOut has the work done here and on all slaves at once. A place was taken for it.
func (s *Server) fanOut(w work, p *propagation, slaves []protocol.Address, trace protocol.Trace) *propagation {
	p.id, p.first, p.request, p.label = s.id, trace.Begins, trace.ID, p.name
	if len(slaves) > 0 {
		p.label = "master"
	}
	p.began, p.pulled, p.done = time.Now(), make(chan struct{}), make(chan struct{})
	p.outcome = protocol.Outcome{State: protocol.Processing, Slaves: make([]protocol.Outcome, len(slaves))}
	trace = trace.Through(s.id)
	var parts sync.WaitGroup
	for i, slave := range slaves {
		p.outcome.Slaves[i] = protocol.Outcome{Address: slave.String(), State: protocol.Processing}
		parts.Go(func() {
			o := w.onSlave(s.life, slave, trace, p.tellOf(slave))
			p.recordSlave(i, o)
			if o.State == protocol.Failed {
				s.mirrors.reconciler.Missed(slave)
			}
		})
	}
	s.work.Go(func() {
		o := w.here(s.life)
		o.Seconds = time.Since(p.began).Seconds()
		p.record(func(all *protocol.Outcome) { o.Slaves = all.Slaves; *all = o })
		close(p.pulled)
		parts.Wait()
		s.places.Release()
		s.mirrors.notifier.Settled(p.name)
		p.log(s.log.Logger) // before the answer: who has that finds it in the log
		close(p.done)
	})
	return p
}

func (p *propagation) record(change func(*protocol.Outcome)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.outcome)
}

// recordSlave records what a slave told. What those below it told is left out where all
// together would be too much.
func (p *propagation) recordSlave(i int, o protocol.Outcome) {
	p.record(func(all *protocol.Outcome) {
		if p.size += o.Size(); p.size > protocol.MaxReport {
			p.size -= o.Size()
			o.Slaves, o.Cut = nil, fmt.Sprintf("what the servers below it say is left out: all together say more than %d bytes", protocol.MaxReport)
			p.size += o.Size()
		}
		all.Slaves[i] = o
	})
}

// tellOf returns what keeps the latest lines of a slave and of those below it, or nil if nobody
// wants to know them.
func (p *propagation) tellOf(slave protocol.Address) func(protocol.Line) {
	if !p.tells {
		return nil
	}
	return func(line protocol.Line) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.below.Set(slave, line)
	}
}

// lines tell how far this server is, and each one below it.
func (p *propagation) lines() []protocol.Line {
	own := p.ownProgress()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.below.Of(p.outcome, own)
}

// ownProgress is how far this server is with its own part, if it is still at work.
func (p *propagation) ownProgress() protocol.Progress {
	if now := p.progress(); now != nil {
		return *cluster.ProgressOf(now.Now())
	}
	return protocol.Progress{Words: "waiting to begin"}
}

// report is what is known now.
func (p *propagation) report() *protocol.Report {
	p.mu.Lock()
	o := p.outcome
	o.Slaves = slices.DeleteFunc(slices.Clone(o.Slaves), func(slave protocol.Outcome) bool { return slave.State == protocol.Itself })
	p.mu.Unlock()
	if o.State == protocol.Processing {
		o.Progress = p.ownProgress().Words
	}
	o.ID = p.id
	status := verdict(o)
	if p.first && status != http.StatusAccepted {
		o.Resolve()
		status = verdict(o)
	}
	r := &protocol.Report{Name: p.name, Origin: p.origin, Status: status, Outcome: o, Waited: time.Since(p.began)}
	if status >= http.StatusBadRequest {
		r.Why = p.why
	}
	return r
}

// log tells what became of the slaves. Of this server's own part the log knows.
func (p *propagation) log(log *slog.Logger) {
	r := p.report()
	if len(r.Slaves) == 0 {
		return
	}
	log = log.With("mirror", r.Name, "slaves", len(r.Slaves), "status", r.Status, "took", units.FormatSeconds(r.Waited), "request", p.request)
	if r.Status == http.StatusOK {
		log.Info("propagated")
		return
	}
	r.Why = "" // the server is called otherwise by others
	log.Error("not on all servers", slog.String(logging.TreeKey, r.String()))
}

// verdict returns the HTTP status for what became of a pull on this server and its slaves, by the
// contract's table. A slave that works on the request for another sender counts neither as
// pulled nor as failed: see protocol.Elsewhere.
func verdict(local protocol.Outcome) int {
	var pulled, failed, processing int
	for _, o := range local.Slaves {
		switch o.State {
		case protocol.Success:
			pulled++
		case protocol.Processing:
			processing++
		case protocol.Failed:
			failed++
			if o.SomePulled {
				pulled++
			}
		}
	}
	switch {
	case local.State == protocol.Processing || processing > 0:
		return http.StatusAccepted
	case local.State == protocol.Success && failed == 0:
		return http.StatusOK
	case failed == 0: // it could not, and its slaves, if it has any, could
		return http.StatusInternalServerError
	case local.State == protocol.Success || pulled > 0:
		return http.StatusBadGateway
	default:
		return http.StatusServiceUnavailable
	}
}
