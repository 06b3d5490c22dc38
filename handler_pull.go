package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/postform"
	"github.com/reconquest/sould/internal/propagate"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/requestlog"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/why"
)

var crossOrigin = http.NewCrossOriginProtection()

// handlePull is POST /: a repository has changed.
func (s *Server) handlePull(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	if err := crossOrigin.Check(r); err != nil {
		return fail(kindForbidden, "a browser sent this from another site: %w", err)
	}
	form, err := postform.Read(w, r, &s.conns.Bodies)
	if err != nil {
		return err
	}
	trace, err := requestlog.TraceOf(r)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	if err := set.tables.AddOrigin(form); err != nil {
		return &fault{kindBadRequest, err}
	}
	if err := postform.Check(form, r.URL.Query()); err != nil {
		return err
	}
	asked, err := protocol.ParsePull(form, set.unsecure)
	if err != nil {
		return s.refuse(set, r, trace, asked.Name, &fault{kindBadRequest, err})
	}
	if err := set.originPolicy().Check(asked.Origin); err != nil {
		return s.refuse(set, r, trace, asked.Name, &fault{kindForbidden, err})
	}
	req := mirror.Request{ID: trace.ID, Name: asked.Name, Origin: asked.Origin, Move: asked.Move, Accept: asked.Accept, By: sender(r, trace)}
	switch asking := r.Header.Get(protocol.PeerHeader); asking {
	case "":
		req.Wanted, err = protocol.AskedAt(r.Header, trace, s.mirrors.store.NextIntent(req.Name, time.Now()))
		if err != nil {
			return &fault{kindBadRequest, err}
		}
	case s.id:
		return fail(kindLoop, "the server that asks has the same id as this one: it is this one, or one of the two storages is a copy of the other")
	default:
		req.OriginOnly = true
	}
	words := req
	words.Wanted, words.By = time.Time{}, "" // the same in all copies, but for those of a client's request
	p, err := s.commands.Begin(trace, words, func(first bool) (*propagate.Propagation, error) {
		told := propagate.Told{Progress: asked.Progress, Why: set.whyLink(r, trace, req.Name)}
		return s.mirrors.propagator.Pull(req, trace, set.onward(first && !req.OriginOnly), told)
	})
	if errors.Is(err, cluster.ErrElsewhere) {
		return writeReport(w, r, protocol.Repeated(s.id))
	}
	if err != nil {
		return s.refuse(set, r, trace, req.Name, err)
	}
	return p.Answer(w, r, asked)
}

// refuse remembers that a request was refused, for those who ask why. The error it returns tells the
// client where to ask, unless nothing else is known of the name.
func (s *Server) refuse(set *settings, r *http.Request, trace protocol.Trace, name storage.Name, err error) error {
	if name == (storage.Name{}) {
		return err
	}
	s.mirrors.store.Refuse(name, sender(r, trace), err)
	if !s.mirrors.insight.Knows(name) {
		return err
	}
	return &explained{err, set.whyLink(r, trace, name)}
}

// sender says who has sent a request, for people. A server of the cluster sends on what somebody has
// asked of it.
func sender(r *http.Request, trace protocol.Trace) string {
	if !trace.FromClient() || isPeer(r) {
		return mirror.ByServer + " (" + address(r) + ")"
	}
	return address(r)
}

// whyLink is where a client that fails is told why; empty for another server.
func (s *settings) whyLink(r *http.Request, trace protocol.Trace, name storage.Name) string {
	if !trace.FromClient() {
		return ""
	}
	return why.Link(s.baseURL(r), name.String())
}
