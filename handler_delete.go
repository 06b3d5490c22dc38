package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/mirror"
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
	p, err := s.commands.Begin(trace, name, func(first bool) (*propagation, error) {
		slaves := s.slavesFor(set, trace, first)
		if err := s.takePlace(len(slaves)); err != nil {
			return nil, err
		}
		p := &propagation{name: name.String(), progress: func() *mirror.Progress { return store.Progress(name) }}
		return s.fanOut(&deletion{s.mirrors, name, at}, p, slaves, trace), nil
	})
	if errors.Is(err, cluster.ErrElsewhere) {
		return writeReport(w, r, protocol.Repeated(s.id))
	}
	if err != nil {
		return err
	}
	<-p.done // whether the client is still there or not
	s.mirrors.keeper.Wake()
	return writeReport(w, r, p.report())
}

// deletion is what a DELETE asks of this server and its slaves.
type deletion struct {
	mirrors *mirrors
	name    storage.Name
	at      time.Time // when somebody asked for it
}

func (d *deletion) here(ctx context.Context) protocol.Outcome {
	existed, err := d.mirrors.store.Delete(ctx, d.name, d.at)
	if err != nil {
		return protocol.Failure(err)
	}
	d.mirrors.cache.Purge(d.name.String())
	return protocol.Outcome{State: protocol.Success, Removed: existed, Absent: !existed}
}

func (d *deletion) onSlave(ctx context.Context, slave protocol.Address, trace protocol.Trace, _ func(protocol.Line)) protocol.Outcome {
	return d.mirrors.client.PropagateDelete(ctx, slave, d.name, trace, d.at)
}
