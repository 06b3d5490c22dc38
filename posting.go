package main

import (
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/units"
)

// posting is the work that a POST or a DELETE has started: that of this server and that
// of its slaves. It goes on when the client goes away.
type posting struct {
	req     pullRequest
	began   time.Time
	doing   func() *progress
	done    chan struct{} // closed when all is over
	mu      sync.Mutex    // guards all below
	outcome outcome
}

// Bounds of what goes on without a client that waits for it.
const (
	maxPostings     = 2 << 10  // at once
	maxPostingParts = 32 << 10 // of them, one for each server
	leastPostings   = 16       // however many slaves there are
)

// postingBound is how many postings there may be at once on a server with so many slaves.
func postingBound(slaves int) int64 {
	return int64(max(min(maxPostings, maxPostingParts/(1+slaves)), leastPostings))
}

// start starts work, here and on all slaves at once. A request that has been here before,
// by way of its slaves, goes no further, nor does one of a server that asks for itself. What
// is done here begins here, and goes on in what begin returns. The error is ErrBusy.
func (s *Server) start(
	set *settings, req pullRequest, via []string,
	begin func() (here func() outcome, err error), there func(slave Address, via []string) outcome,
) (*posting, error) {
	slaves := set.Slaves
	if !set.Master || req.OriginOnly || slices.Contains(via, s.id) {
		slaves = nil
	}
	if s.postings.Add(1) > postingBound(len(slaves)) {
		s.postings.Add(-1)
		return nil, limiter.ErrBusy
	}
	here, err := begin()
	if err != nil {
		s.postings.Add(-1)
		return nil, err
	}
	p := &posting{
		req: req, began: time.Now(), done: make(chan struct{}),
		doing:   func() *progress { return s.mirrors.Progress(req.Name) },
		outcome: outcome{State: stateProcessing, Slaves: make([]outcome, len(slaves))},
	}
	via = append(slices.Clip(via), s.id)
	var parts sync.WaitGroup
	for i, slave := range slaves {
		p.outcome.Slaves[i] = outcome{Address: slave.String(), State: stateProcessing}
		parts.Go(func() {
			o := there(slave, via)
			p.note(func(all *outcome) { all.Slaves[i] = o })
			if o.State == stateFailed {
				s.repairs.Missed(slave)
			}
		})
	}
	parts.Go(func() {
		o := here()
		o.Seconds = time.Since(p.began).Seconds()
		p.note(func(all *outcome) { o.Slaves = all.Slaves; *all = o })
	})
	s.work.Go(func() {
		parts.Wait()
		s.postings.Add(-1)
		p.log(s.log) // before the answer: who has that finds it in the log
		close(p.done)
	})
	return p, nil
}

func (p *posting) note(change func(*outcome)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.outcome)
}

// report is what is known now.
func (p *posting) report() *report {
	p.mu.Lock()
	o := p.outcome
	o.Slaves = append([]outcome(nil), o.Slaves...)
	p.mu.Unlock()
	if o.State == stateProcessing {
		o.Progress = "waiting to begin"
		if now := p.doing(); now != nil {
			o.Progress = now.String()
		}
	}
	return &report{
		Name: p.req.Name.String(), Origin: p.req.Origin.String(),
		Status: verdict(o, o.Slaves), outcome: o, waited: time.Since(p.began),
	}
}

// log tells what became of the slaves. Of this server's own part the log knows.
func (p *posting) log(log *slog.Logger) {
	r := p.report()
	if len(r.Slaves) == 0 {
		return
	}
	log = log.With("mirror", r.Name, "slaves", len(r.Slaves), "status", r.Status, "seconds", units.FormatSeconds(r.waited))
	if r.Status == http.StatusOK {
		log.Info("propagated")
		return
	}
	log.Error("not on all servers", slog.String(treeKey, r.String()))
}
