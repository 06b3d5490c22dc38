package main

import (
	"cmp"
	"errors"
	"time"

	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// claim is what requests that are being carried out want a mirror to be. Requests
// that want something else are refused before anything is begun for them, here or on
// a slave.
type claim struct {
	origin origin.URL
	by     int       // so many requests
	wanted time.Time // when the last one of them was asked for
}

// Admit checks whether a request to pull can be carried out, and claims the name for
// it until release is called. The error is a *Conflict.
func (ms *Mirrors) Admit(set *settings, req pullRequest) (release func(), err error) {
	release, claimErr := ms.claim(req)
	m, err := ms.Get(set, req.Name)
	switch {
	case errors.Is(err, errUnknownMirror):
		if err = claimErr; err == nil {
			err = ms.vacant(req.Name)
		}
		if err == nil {
			err = ms.stillWanted(req.Name, req.Wanted)
		}
	case err == nil:
		err = cmp.Or(sameOrigin(m.Snapshot().Origin, req), claimErr)
	default:
		err = claimErr // that it cannot be read, the pull will say
	}
	if err != nil && release != nil {
		release()
	}
	return release, err
}

// claim claims a name, together with those who want the same of it.
func (ms *Mirrors) claim(req pullRequest) (release func(), err error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	c := ms.claims[req.Name]
	if c == nil {
		c = &claim{origin: req.Origin}
		ms.claims[req.Name] = c
	}
	if !c.origin.Same(req.Origin) {
		return nil, storage.Conflictf("another request is just giving the mirror the origin %s", c.origin)
	}
	c.by++
	c.wanted = later(c.wanted, req.Wanted)
	return func() {
		ms.mu.Lock()
		defer ms.mu.Unlock()
		if c.by--; c.by == 0 {
			delete(ms.claims, req.Name)
		}
	}, nil
}

// withCredentials is a request with the credentials that the mirror has for its
// origin, if it comes without: slaves may not have them.
func (ms *Mirrors) withCredentials(set *settings, req pullRequest) pullRequest {
	if m, err := ms.Get(set, req.Name); err == nil {
		req.Origin = req.Origin.OrCredentialsOf(m.Snapshot().Origin)
	}
	return req
}

// sameOrigin checks that a request means the mirror that is there, or names its
// old origin in order to give it a new one.
func sameOrigin(stored origin.URL, req pullRequest) error {
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

// vacant checks that a mirror of that name could be created: that the name lies
// neither inside another mirror nor above one. Names that others claim count.
func (ms *Mirrors) vacant(name storage.Name) error {
	for _, above := range name.Above() {
		if ms.storage.IsLink(above) {
			return storage.Conflictf("%s is a symbolic link, which no name leads through", above)
		}
		if mirror, err := ms.storage.IsMirror(above); err != nil {
			return storage.Conflictf("%s", err)
		} else if mirror || ms.isClaimed(above) {
			return storage.Conflictf("the name lies inside the mirror %s", above)
		}
	}
	if inside, ok := ms.inside(name); ok {
		return storage.Conflictf("the name lies above the mirror %s", inside)
	}
	if err := ms.storage.CheckPlace(name); errors.As(err, new(*storage.Conflict)) {
		return err
	}
	return nil // that it cannot be read, the pull will say
}

// inside returns a mirror below that name, if there is one.
func (ms *Mirrors) inside(name storage.Name) (found storage.Name, ok bool) {
	ms.mu.Lock()
	for other := range ms.claims {
		if other.Inside(name) {
			found, ok = other, true
		}
	}
	ms.mu.Unlock()
	if !ok {
		_ = ms.storage.NamesBelow(name, func(other storage.Name) { found, ok = other, true })
	}
	return found, ok
}

func (ms *Mirrors) isClaimed(name storage.Name) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.claims[name] != nil
}
