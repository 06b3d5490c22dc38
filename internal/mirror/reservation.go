package mirror

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// reservation is the origin that a mirror has when the running requests have ended. A request for
// another origin is refused before anything is begun for it, here or on a slave, unless it moves the
// mirror from the reserved one: its pull comes after the others.
type reservation struct {
	origin origin.URL
	count  int       // of the requests
	wanted time.Time // when somebody asked for the latest of them
	by     string    // the sender of that one
	read   bool      // a first read is among them
}

// isOwn reports whether reads alone have asked.
func (r *reservation) isOwn() bool { return r.read && r.wanted.IsZero() }

// reserve checks whether a request can be carried out, and reserves its name until release is
// called. A read's request takes the origin that is reserved: it wants the mirror to be there, and no
// more. The error is a *storage.Conflict.
func (s *Store) reserve(req *Request) (release func(), err error) {
	release, before, taken := s.reserveName(req)
	m, err := s.Get(req.Name)
	switch {
	case errors.Is(err, ErrUnknown):
		err = taken
		if free := s.checkNameFree(req.Name); err == nil && errors.As(free, new(*storage.Conflict)) {
			err = free // a fault of this storage is no conflict on other servers; the pull reports it
		}
		if err == nil {
			err = s.checkWanted(req.Name, later(req.Wanted, req.read))
		}
	case err == nil:
		err = cmp.Or(checkOrigin(cmp.Or(before, m.Snapshot().Origin), *req), taken)
	default:
		err = taken // the pull reports why the mirror cannot be read
	}
	if err != nil && release != nil {
		s.restore(req, before)
		release()
	}
	return release, err
}

// restore has a reservation name the origin again that it named before a request which comes to nothing.
func (s *Store) restore(req *Request, before origin.URL) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.reserved[req.Name]; r != nil && before.Known() && r.origin.Same(req.Origin) {
		r.origin = before
	}
}

// reserveName reserves a name, which requests with the same origin share. before is the origin that was
// reserved; not Known for none. The error is a *storage.Conflict.
func (s *Store) reserveName(req *Request) (release func(), before origin.URL, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reserved[req.Name]
	if r == nil {
		r = &reservation{origin: req.Origin}
		s.reserved[req.Name] = r
	} else if before = r.origin; req.OnDemand {
		req.Origin = before
	}
	if !r.origin.Same(req.Origin) && !(req.Move.Known() && r.origin.Same(req.Move)) {
		return nil, before, storage.Conflictf("another request is just giving the mirror the origin %s", r.origin)
	}
	r.origin = req.Origin
	r.count++
	r.read = r.read || req.OnDemand
	if req.Wanted.After(r.wanted) {
		r.wanted, r.by = req.Wanted, req.By
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.count--; r.count == 0 {
			delete(s.reserved, req.Name)
		}
	}, before, nil
}

// IsReserved reports whether a request for the mirror is running on this server.
func (s *Store) IsReserved(name storage.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserved[name] != nil
}

// Followed is a mirror, or one that is being made, and the origin that it follows.
type Followed struct {
	Name   storage.Name
	Origin origin.URL // not Known if it is being made
	Next   origin.URL // that requests which run give it; not Known for no other one
	Own    bool       // reads alone have asked for it, and nobody else is just doing so: it stays this server's own
}

// Latest is the origin that the mirror has when what runs has ended.
func (f Followed) Latest() origin.URL { return cmp.Or(f.Next, f.Origin) }

// Followed returns all mirrors, and the names for which one is being made.
func (s *Store) Followed() iter.Seq[Followed] {
	return func(yield func(Followed) bool) {
		coming := s.coming() // first: who begins after that, asks an origin after that
		for _, m := range s.All() {
			snap := m.Snapshot()
			if snap == nil {
				continue // if a request runs, it makes the mirror anew
			}
			next := coming[m.Name]
			delete(coming, m.Name)
			if next.origin.Same(snap.Origin) {
				next.origin = origin.URL{}
			}
			if !yield(Followed{m.Name, snap.Origin, next.origin, snap.OnDemand && next.wanted.IsZero()}) {
				return
			}
		}
		for name, r := range coming {
			if r.origin.Known() && !yield(Followed{Name: name, Next: r.origin, Own: r.isOwn()}) {
				return
			}
		}
	}
}

// coming are the mirrors for which requests run.
func (s *Store) coming() map[storage.Name]reservation {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[storage.Name]reservation, len(s.reserved))
	for name, r := range s.reserved {
		all[name] = *r
	}
	return all
}

// WithCredentials returns the request with the mirror's stored credentials, if its origin has
// none: slaves may not have them.
func (s *Store) WithCredentials(req Request) Request {
	if m, err := s.Get(req.Name); err == nil {
		req.Origin = req.Origin.OrCredentialsOf(m.Snapshot().Origin)
	}
	return req
}

// adopting returns the request as one that moves the mirror, if a read has made that from another spelling of
// the origin, or is just doing so: nobody has chosen that one, and it must not stand against who chooses.
func (s *Store) adopting(req Request) Request {
	if req.OnDemand || req.Own || req.OriginOnly || req.Move.Known() {
		return req
	}
	if now := s.readOrigin(req.Name); !now.Same(req.Origin) && now.Place() == req.Origin.Place() {
		req.Move = now
	}
	return req
}

// readOrigin is the origin of a mirror for which reads alone have asked; not Known for another one.
func (s *Store) readOrigin(name storage.Name) (from origin.URL) {
	if m, err := s.Get(name); err == nil {
		if now := m.Snapshot(); now.OnDemand {
			from = now.Origin
		}
		return from
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.reserved[name]; r != nil && r.isOwn() {
		from = r.origin
	}
	return from
}

// checkOrigin checks that a request has the mirror's stored origin, or moves the mirror from
// that. The error is a *storage.Conflict.
func checkOrigin(stored origin.URL, req Request) error {
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

// checkNameFree checks that a mirror of that name can be created. The error is a
// *storage.Conflict if the name lies inside another mirror or above one; reserved names count as
// mirrors. Any other error is a fault of this server's storage, such as a file in the mirror's
// place.
func (s *Store) checkNameFree(name storage.Name) error {
	for _, above := range name.Above() {
		mirror, err := s.dir.IsMirror(above)
		switch {
		case mirror, s.IsReserved(above):
			return storage.Conflictf("the name lies inside the mirror %s", above)
		case s.dir.IsLink(above):
			return fmt.Errorf("%s is a symbolic link; a name cannot lead through one", above)
		case err != nil:
			return err
		}
	}
	if inside, ok := s.mirrorBelow(name); ok {
		return storage.Conflictf("the name lies above the mirror %s", inside)
	}
	return s.dir.CheckPlace(name)
}

// mirrorBelow returns a mirror or a reserved name below name, if there is one.
func (s *Store) mirrorBelow(name storage.Name) (found storage.Name, ok bool) {
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
