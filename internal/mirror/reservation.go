package mirror

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// reservation is what requests that are being carried out want a mirror to be. Requests
// that want something else are refused before anything is begun for them, here or on
// a slave.
type reservation struct {
	origin origin.URL
	by     int       // so many requests
	wanted time.Time // when the last one of them was asked for
}

// reserve checks whether a request to pull can be carried out, and reserves the name for
// it until release is called. The error is a *storage.Conflict.
func (s *Store) reserve(req Request) (release func(), err error) {
	release, taken := s.reserveName(req)
	m, err := s.Get(req.Name)
	switch {
	case errors.Is(err, ErrUnknown):
		err = taken
		if free := s.checkNameFree(req.Name); err == nil && errors.As(free, new(*storage.Conflict)) {
			err = free // a fault of the storage the pull will tell, which is not that of other servers
		}
		if err == nil {
			err = s.checkWanted(req.Name, req.Wanted)
		}
	case err == nil:
		err = cmp.Or(sameOrigin(m.Snapshot().Origin, req), taken)
	default:
		err = taken // that it cannot be read, the pull will say
	}
	if err != nil && release != nil {
		release()
	}
	return release, err
}

// reserveName reserves a name, together with those who want the same of it.
func (s *Store) reserveName(req Request) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reserved[req.Name]
	if r == nil {
		r = &reservation{origin: req.Origin}
		s.reserved[req.Name] = r
	}
	if !r.origin.Same(req.Origin) {
		return nil, storage.Conflictf("another request is just giving the mirror the origin %s", r.origin)
	}
	r.by++
	r.wanted = later(r.wanted, req.Wanted)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.by--; r.by == 0 {
			delete(s.reserved, req.Name)
		}
	}, nil
}

// IsReserved reports whether somebody has just asked for the mirror here.
func (s *Store) IsReserved(name storage.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserved[name] != nil
}

// WithCredentials is a request with the credentials that the mirror has for its
// origin, if it comes without: slaves may not have them.
func (s *Store) WithCredentials(req Request) Request {
	if m, err := s.Get(req.Name); err == nil {
		req.Origin = req.Origin.OrCredentialsOf(m.Snapshot().Origin)
	}
	return req
}

// sameOrigin checks that a request means the mirror that is there, or names its
// old origin in order to give it a new one.
func sameOrigin(stored origin.URL, req Request) error {
	switch {
	case !stored.Known(), !req.Origin.Known(), stored.Same(req.Origin):
		return nil
	case req.Move.Known() && stored.Same(req.Move):
		return nil
	case req.Move.Known():
		return storage.Conflictf("the mirror's origin is %s, not %s as move= says", stored, req.Move)
	default:
		return storage.Conflictf(
			"the mirror exists with the origin %s. If it is to follow %s from now on, POST again with move=%s",
			stored, req.Origin, stored)
	}
}

// checkNameFree checks that a mirror of that name could be created: that the name lies
// neither inside another mirror nor above one. Names that are reserved count. The error is a
// *storage.Conflict then; any other tells a fault of this server's storage, such as a file
// where the mirror is to be.
func (s *Store) checkNameFree(name storage.Name) error {
	for _, above := range name.Above() {
		mirror, err := s.dir.IsMirror(above)
		switch {
		case mirror, s.IsReserved(above):
			return storage.Conflictf("the name lies inside the mirror %s", above)
		case s.dir.IsLink(above):
			return fmt.Errorf("%s is a symbolic link, which no name leads through", above)
		case err != nil:
			return err
		}
	}
	if inside, ok := s.inside(name); ok {
		return storage.Conflictf("the name lies above the mirror %s", inside)
	}
	return s.dir.CheckPlace(name)
}

// inside returns a mirror below that name, if there is one.
func (s *Store) inside(name storage.Name) (found storage.Name, ok bool) {
	s.mu.Lock()
	for other := range s.reserved {
		if other.Inside(name) {
			found, ok = other, true
		}
	}
	s.mu.Unlock()
	if !ok {
		_ = s.dir.NamesBelow(name, func(other storage.Name) { found, ok = other, true })
	}
	return found, ok
}
