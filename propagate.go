package main

import (
	"context"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/propagate"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

// onward are the slaves that a request is passed on to, if it may be passed on.
func (s *settings) onward(passOn bool) []protocol.Address {
	if !s.Master || !passOn {
		return nil
	}
	return s.Slaves
}

// command has this server and, if it is a master, its slaves pull, as a POST would: for what has
// noticed by itself that an origin has changed. req says who that is (By). Nobody waits for it; the
// result is in the log and, when it is done, in its report. A mirror that reads have made
// can stay this server's own (Own). The error is a *storage.Conflict, or limiter.ErrBusy.
func (s *Server) command(req mirror.Request) (*propagate.Propagation, error) {
	set, trace := s.settings(), protocol.NewClientTrace()
	if err := set.originPolicy().Check(req.Origin); err != nil {
		return nil, &fault{kindForbidden, err}
	}
	req.ID = trace.ID
	if req.Wanted.IsZero() && !req.Own {
		req.Wanted = s.mirrors.store.NextIntent(req.Name, time.Now())
	}
	return s.mirrors.propagator.Pull(req, trace, set.onward(!req.Own), propagate.Told{})
}

// commandHere carries out a command of nobody, and waits until it is over on this server, or ctx ends; the
// work goes on then. The error says why this server could not do it. It does not wait for slaves: one that
// is down would hold up thousands of new mirrors, each for the whole timeout. What they could not do, the
// log says, and the reconciler does it again. over is closed when they are done, too; nil if nothing has begun.
func (s *Server) commandHere(ctx context.Context, req mirror.Request) (over <-chan struct{}, err error) {
	p, err := s.command(req)
	if err != nil {
		return nil, err
	}
	return p.Done(), p.AwaitHere(ctx)
}

// tellSlaves has the slaves pull what a look has brought to this server.
func (s *Server) tellSlaves(name storage.Name, result mirror.Result) {
	if !result.Snapshot.OnDemand {
		s.mirrors.propagator.PassOn(name, result, mirror.ByPoll, s.settings().onward(true))
	}
}
