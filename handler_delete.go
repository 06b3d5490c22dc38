package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/propagate"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/requestlog"
	"github.com/reconquest/sould/internal/storage"
)

// handleDelete is DELETE /<name>: a mirror is to go, here and on all slaves.
func (s *Server) handleDelete(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	if err := crossOrigin.Check(r); err != nil {
		return fail(kindForbidden, "a browser sent this from another site: %w", err)
	}
	if set.Token == "" {
		return fail(kindForbidden, "nobody may remove a mirror as long as the configuration has no token")
	}
	name, err := storage.ParseName(r.URL.Path)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	trace, err := requestlog.TraceOf(r)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	store := s.mirrors.store
	if !store.Deletable(name) {
		if trace.FromClient() {
			return mirror.ErrUnknown
		}
		// Who asks for another server wants a tombstone in any case.
		if err := s.mirrors.dir.RoomForTombstone(); err != nil {
			return err
		}
	}
	at, err := protocol.AskedAt(r.Header, trace, store.NextIntent(name, time.Now()))
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	p, err := s.commands.Begin(trace, name, func(first bool) (*propagate.Propagation, error) {
		return s.mirrors.propagator.Delete(name, at, trace, set.onward(first))
	})
	if errors.Is(err, cluster.ErrElsewhere) {
		return writeReport(w, r, protocol.Repeated(s.id))
	}
	if err != nil {
		return err
	}
	<-p.Done() // whether the client is still there or not
	s.mirrors.keeper.Wake()
	return writeReport(w, r, p.Report())
}
