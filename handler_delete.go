package main

import (
	"context"
	"net/http"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
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
	via, err := protocol.ParseVia(r.Header.Get(protocol.ViaHeader))
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	store := s.mirrors.store
	if !store.Deletable(name) {
		if len(via) == 0 {
			return mirror.ErrUnknown
		}
		// Who asks for another server wants a tombstone in any case.
		if err := s.mirrors.dir.RoomForTombstone(); err != nil {
			return err
		}
	}
	at, err := protocol.AskedAt(r.Header, via, store.NextIntent(name, time.Now()))
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	slaves := slavesFor(set, s.id, via, false)
	if err := s.places.take(len(slaves)); err != nil {
		return err
	}
	p := &propagation{name: name.String(), progress: func() *mirror.Progress { return store.Progress(name) }}
	s.fanOut(&deletion{store, s.mirrors.client, name, at}, p, slaves, via)
	<-p.done // whether the client is still there or not
	s.mirrors.keeper.Wake()
	return writeReport(w, r, p.report())
}

// deletion is what a DELETE asks of this server and its slaves.
type deletion struct {
	store  *mirror.Store
	client *cluster.Client
	name   storage.Name
	at     time.Time // when somebody asked for it
}

func (d *deletion) here(ctx context.Context) protocol.Outcome {
	if err := d.store.Delete(ctx, d.name, d.at); err != nil {
		return protocol.Failure(err)
	}
	return protocol.Outcome{State: protocol.Success, Removed: true}
}

func (d *deletion) onSlave(ctx context.Context, slave protocol.Address, via []string) protocol.Outcome {
	return d.client.PropagateDelete(ctx, slave, d.name, via, d.at)
}
