package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/storage"
)

// reading is what a reader gets: a mirror, or one that is being made, of which a git client of version 2
// can have something already.
type reading struct {
	mirror  *mirror.Mirror
	growing *mirror.Growing
	fresh   bool // the origin was just looked at for the reader
}

// read finds the mirror that a reader asks for. If there is none and a table has the name, the mirror is
// made first, for which the reader waits. Another server that asks makes none: what it asks for, it has
// found here.
func (s *Server) read(r *http.Request, name storage.Name) (reading, error) {
	m, err := s.found(r, name)
	if !errors.Is(err, mirror.ErrUnknown) || isPeer(r) {
		return reading{mirror: m}, err
	}
	short := s.mirrors.maker.Mirror(name)
	if short != name {
		if m, err := s.found(r, short); !errors.Is(err, mirror.ErrUnknown) {
			return reading{mirror: m}, err
		}
	}
	run, startErr := s.mirrors.maker.Start(short, address(r))
	if errors.Is(startErr, mirror.ErrUnknown) {
		return reading{}, err
	}
	if err = startErr; err == nil {
		var g *mirror.Growing
		if g, err = s.awaitMade(r, run); g != nil {
			return reading{growing: g}, nil
		}
	}
	m, gone := s.found(r, short)
	if gone == nil { // also if the origin could not be reached: a peer had it
		return reading{mirror: m, fresh: true}, nil
	}
	return reading{}, cmp.Or(err, gone)
}

// found finds the mirror that a reader asks for, and remembers that it was read. One that is just being
// removed, because nobody has read it for long, is not found any more.
func (s *Server) found(r *http.Request, name storage.Name) (*mirror.Mirror, error) {
	m, err := s.mirrors.find(name)
	if err == nil && !isPeer(r) && !m.MarkRead(time.Now()) {
		return nil, mirror.ErrUnknown
	}
	return m, err
}

// awaitMade waits until the mirror of a first read is there or, if the client can do with that, until its
// refs are known.
func (s *Server) awaitMade(r *http.Request, run *ondemand.Run) (g *mirror.Growing, err error) {
	ctx, end := conn.WhileAlive(r.Context(), s.life)
	defer end()
	if !smarthttp.IsPath(r.URL.Path) || smarthttp.Version(r.Header["Git-Protocol"]) != 2 {
		return nil, run.Wait(ctx)
	}
	looking, stop := context.WithCancel(ctx)
	listed := make(chan struct{})
	var look sync.WaitGroup
	look.Go(func() {
		if g = s.mirrors.store.AwaitGrowing(looking, run.Name); g != nil {
			close(listed)
		}
	})
	err = run.WaitUnless(ctx, listed)
	stop()
	look.Wait()
	return g, err
}

// begin has a pull make a mirror for readers.
func (ms *mirrors) begin(req mirror.Request) (wait func(context.Context) error, err error) {
	if m, err := ms.store.Get(req.Name); err == nil && m.MarkRead(time.Now()) { // it was made since the reader has looked
		return func(context.Context) error { return nil }, nil
	}
	if err := ms.room.Room(req.Name); err != nil {
		return nil, err
	}
	run, err := ms.store.Begin(req)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := run.Wait(ctx)
		return err
	}, nil
}

// addOrigin adds to a POST's form the origin that a table has for the name, if the form has none.
func (s *settings) addOrigin(form url.Values) error {
	if form.Get("name") == "" || form.Has("origin") {
		return nil
	}
	name, err := storage.ParseName(form.Get("name"))
	if err != nil {
		return nil // which is told where the form is read
	}
	name, from, err := s.tables.Mirror(name)
	switch {
	case errors.Is(err, mirror.ErrUnknown):
		return nil
	case err != nil:
		return &fault{kindBadRequest, err}
	}
	form.Set("name", name.String())
	form.Set("origin", from.String())
	return nil
}

// originOf is the origin from which a read makes the mirror of a name.
func (s *settings) originOf(name storage.Name) (from origin.URL, ok bool) {
	_, from, err := s.tables.Mirror(name)
	return from, err == nil && s.originPolicy().Check(from) == nil
}

// failureStatuses are those of reads for which no mirror can be made.
var failureStatuses = map[ondemand.Kind]int{
	ondemand.Illegal:      http.StatusBadRequest,
	ondemand.Forbidden:    http.StatusForbidden,
	ondemand.NoRepository: http.StatusNotFound,
	ondemand.Nested:       http.StatusNotFound,
	ondemand.OriginDown:   http.StatusBadGateway,
	ondemand.TooLarge:     http.StatusForbidden,
	ondemand.Full:         http.StatusServiceUnavailable,
	ondemand.Later:        http.StatusServiceUnavailable,
}
