package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/storage"
)

// read finds the mirror that a reader asks for. If there is none and a table has the name, the mirror is
// made first, for which the reader waits. Another server that asks makes none: what it asks for, it has
// found here. fresh is whether the origin was just looked at for the reader.
func (s *Server) read(r *http.Request, name storage.Name) (m *mirror.Mirror, fresh bool, err error) {
	m, err = s.mirrors.find(name)
	if !errors.Is(err, mirror.ErrUnknown) || isPeer(r) {
		return m, false, err
	}
	short := s.mirrors.maker.Mirror(name)
	if short != name {
		if m, err := s.mirrors.find(short); !errors.Is(err, mirror.ErrUnknown) {
			return m, false, err
		}
	}
	run, startErr := s.mirrors.maker.Start(short, address(r))
	if errors.Is(startErr, mirror.ErrUnknown) {
		return nil, false, err
	}
	if err = startErr; err == nil {
		err = s.awaitMade(r, run)
	}
	if m, found := s.mirrors.find(short); found == nil { // also if the origin could not be reached: a peer had it
		return m, true, nil
	}
	return nil, false, err
}

// awaitMade waits until the mirror of a first read is there.
func (s *Server) awaitMade(r *http.Request, run *ondemand.Run) error {
	ctx, end := s.whileAlive(r.Context())
	defer end()
	return run.Wait(ctx)
}

// begin has a pull make a mirror for readers.
func (ms *mirrors) begin(req mirror.Request) (wait func(context.Context) error, err error) {
	if _, err := ms.store.Get(req.Name); err == nil { // it was made since the reader has looked
		return func(context.Context) error { return nil }, nil
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
	rule, path, ok := s.tables.Find(name)
	if !ok {
		return nil
	}
	from, err := rule.Origin(path)
	if err == nil {
		name, err = rule.Name(path)
	}
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	form.Set("name", name.String())
	form.Set("origin", from.String())
	return nil
}

// failureStatuses are those of reads for which no mirror can be made.
var failureStatuses = map[ondemand.Kind]int{
	ondemand.Illegal:      http.StatusBadRequest,
	ondemand.Forbidden:    http.StatusForbidden,
	ondemand.NoRepository: http.StatusNotFound,
	ondemand.Nested:       http.StatusNotFound,
	ondemand.OriginDown:   http.StatusBadGateway,
	ondemand.Later:        http.StatusServiceUnavailable,
}
