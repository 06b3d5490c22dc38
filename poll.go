package main

import (
	"context"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/poll"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

// pollOptions are what package poll reads of the settings.
func (s *settings) pollOptions() *poll.Options {
	opts := &poll.Options{Places: s.MaxPolls}
	if s.Poll > 0 || slices.ContainsFunc(s.OnDemand, func(r ondemand.Rule) bool { return r.Poll > 0 }) {
		opts.Every = s.pollEvery
	}
	return opts
}

// pollEvery is how often a mirror is looked at; 0 for never. Only one server looks at a mirror: the
// master or, where that is unknown, the server that a client has asked. What reads have made here is
// looked at only if the table of its name says so, which holds for what was POSTed below it as well.
func (s *settings) pollEvery(name storage.Name, snap *mirror.Snapshot) time.Duration {
	rule, _, below := s.tables.Find(name)
	switch {
	case !s.Master && cluster.IsTold(snap):
		return 0
	case below && (rule.Poll > 0 || snap.OnDemand):
		return rule.Poll
	case snap.OnDemand: // by a table that is not there any more
		return 0
	default:
		return s.Poll
	}
}

// tellSlaves has the slaves pull what a look has brought to this server. If that cannot be done now, the
// next comparison with them does it.
func (s *Server) tellSlaves(name storage.Name, result mirror.Result) {
	now, set, trace := result.Snapshot, s.settings(), protocol.NewClientTrace()
	slaves := s.slavesFor(set, trace, true)
	if len(slaves) == 0 || now.OnDemand || s.takePlace(len(slaves)) != nil {
		return
	}
	// It is no new request for the mirror: a DELETE that comes meanwhile holds.
	req := mirror.Request{ID: trace.ID, Name: name, Origin: now.Origin, Wanted: now.Wanted, By: mirror.ByPoll}
	p := &propagation{name: name.String(), origin: now.Origin.String(), progress: func() *mirror.Progress { return nil }}
	s.fanOut(&polled{result, &pull{client: s.mirrors.client, onward: req}}, p, slaves, trace)
}

// polled is a change that a look has brought here: the slaves are to get it as from a POST.
type polled struct {
	result mirror.Result
	*pull
}

func (p *polled) here(context.Context) protocol.Outcome { return outcomeOf(p.result, nil) }
