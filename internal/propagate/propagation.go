package propagate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/units"
)

// Propagation is work that has begun, on this server and on its slaves.
type Propagation struct {
	id           string // of this server
	request      string // its id
	first        bool   // the request began here
	tells        bool   // the client wants to be told of the progress
	name, origin string // for the report
	why          string // where the client is told why it has failed; empty for another server
	label        string // of this server in a line of progress
	began        time.Time
	progress     func() *mirror.Progress
	here         chan struct{} // closed when this server's own part is over
	done         chan struct{} // closed when all is over

	mu      sync.Mutex // guards all below
	outcome protocol.Outcome
	size    int // of what the slaves told
	below   protocol.Lines
}

// Done returns a channel that is closed when all is over.
func (p *Propagation) Done() <-chan struct{} { return p.done }

// AwaitHere waits until this server's own part is over, or ctx ends; the work goes on then. The error says
// why this server could not do it.
func (p *Propagation) AwaitHere(ctx context.Context) error {
	select {
	case <-p.here:
	case <-ctx.Done():
		return ctx.Err()
	}
	if o := p.Report().Outcome; o.State != protocol.Success {
		return errors.New(o.Error)
	}
	return nil
}

func (p *Propagation) record(change func(*protocol.Outcome)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.outcome)
}

// recordSlave records what a slave told. What those below it told is left out where all
// together would be too much.
func (p *Propagation) recordSlave(i int, o protocol.Outcome) {
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
func (p *Propagation) tellOf(slave protocol.Address) func(protocol.Line) {
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
func (p *Propagation) lines() []protocol.Line {
	own := p.ownProgress()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.below.Of(p.outcome, own)
}

// ownProgress is how far this server is with its own part, if it is still at work.
func (p *Propagation) ownProgress() protocol.Progress {
	if now := p.progress(); now != nil {
		return *cluster.ProgressOf(now.Now())
	}
	return protocol.Progress{Words: "waiting to begin"}
}

// Report is what is known now.
func (p *Propagation) Report() *protocol.Report {
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
func (p *Propagation) log(log *slog.Logger) {
	r := p.Report()
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
