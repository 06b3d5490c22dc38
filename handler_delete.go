package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

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
	via, err := parseVia(r.Header.Get(viaHeader))
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	if !s.mirrors.Deletable(set, name) {
		if len(via) == 0 {
			return errUnknownMirror
		}
		// Who asks for another server wants a tombstone in any case.
		if err := s.storage.RoomForTombstone(); err != nil {
			return err
		}
	}
	asked, err := askedAt(r.Header, via, s.mirrors.asksToDelete(set, name, time.Now()))
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	work, err := s.startDeletion(set, name, via, asked)
	if err != nil {
		return busy(w, err)
	}
	<-work.done // whether the client is still there or not
	s.upkeep.look()
	return writeReport(w, r, work.report())
}

// startDeletion has this server and its slaves remove a mirror.
func (s *Server) startDeletion(set *settings, name storage.Name, via []string, asked time.Time) (*posting, error) {
	return s.start(set, pullRequest{Name: name}, via, func() (func() outcome, error) {
		return func() outcome {
			if err := s.mirrors.Delete(s.life, set, name, asked); err != nil {
				return failed(err)
			}
			return outcome{State: stateSuccess, Removed: true}
		}, nil
	}, func(slave Address, via []string) outcome {
		return propagateDelete(s.life, set, slave, name, via, asked)
	})
}

// propagateDelete has a slave remove its mirror, and returns what became of it there.
func propagateDelete(
	ctx context.Context, set *settings, slave Address, name storage.Name, via []string, asked time.Time,
) outcome {
	began := time.Now()
	o, err := askDelete(ctx, set, slave, name, via, asked)
	if err != nil {
		o = failed(err).passOn(set.accessPolicy().Secrets())
	}
	o.Address, o.Seconds = slave.String(), time.Since(began).Seconds()
	return o
}

// askDelete has a slave remove its mirror.
func askDelete(
	ctx context.Context, set *settings, slave Address, name storage.Name, via []string, asked time.Time,
) (outcome, error) {
	path := (&url.URL{Path: "/" + name.String()}).EscapedPath()
	r, err := http.NewRequest(http.MethodDelete, slave.url+path, nil)
	if err != nil {
		return outcome{}, err
	}
	dress(r, header{viaHeader, strings.Join(via, ", ")}, askedAs(asked))
	o, err := set.exchange(ctx, r, set.Timeout, set.accessPolicy().Secrets())
	o.Removed = o.State == stateSuccess
	return o, err
}
