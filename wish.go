package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// People ask for a mirror by a POST, and for it to be gone by a DELETE. Whichever was the
// later holds on all servers, however late one of them hears of it: a server that was away
// brings back nothing that was removed meanwhile, and removes nothing that somebody has
// asked for since. So both times travel with the requests, and stand in the mirror's own
// file and in its tombstone.

// askedHeader is in a request that one server passes on to another: when somebody asked
// for it.
const askedHeader = "Sould-Asked"

// askedAt is when somebody asked for what a request says. What comes from another server
// may be an old wish.
func askedAt(h http.Header, via []string, now time.Time) (time.Time, error) {
	text := h.Get(askedHeader)
	if text == "" || len(via) == 0 {
		return now, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || !isWish(at) {
		return at, fmt.Errorf("%s is no time", askedHeader)
	}
	return at, nil
}

// lastWish is later than anybody can mean. Each request is a little later than what it
// goes against, and has to be written down: as nanoseconds that is possible up to 2262.
var lastWish = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// isWish reports whether another server can mean that time.
func isWish(at time.Time) bool { return at.Unix() >= 0 && at.Before(lastWish) }

// askedAs is the line that passes a time on; none for a wish that nobody has had.
func askedAs(at time.Time) header {
	if at.IsZero() {
		return header{}
	}
	return header{askedHeader, at.UTC().Format(time.RFC3339Nano)}
}

// later is the later one of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wanted is when somebody last asked for a mirror, among those whose requests are being
// carried out.
func (ms *Mirrors) wanted(name storage.Name) time.Time {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if c := ms.claims[name]; c != nil {
		return c.wanted
	}
	return time.Time{}
}

// stillWanted checks that a mirror for which somebody asked then was not removed since.
func (ms *Mirrors) stillWanted(name storage.Name, wanted time.Time) error {
	if at, removed := ms.deletedAt(name); removed && !wanted.After(at) {
		return storage.Conflictf("the mirror was removed here on %s; a POST creates it anew", httpDate(at))
	}
	return nil
}

// reclaim lets go of the tombstone of a mirror that is there all the same: somebody has
// put it back by hand, which is a wish as well. It must be the mirror's turn.
func (ms *Mirrors) reclaim(set *settings, m *Mirror, now time.Time) error {
	t, err := ms.storage.Tombstone(m.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	state := m.state
	state.Wanted = later(now, t.At.Add(1))
	if err := state.write(m.Dir); err != nil {
		return err
	}
	m.state = state
	s := *m.Snapshot()
	s.Wanted = state.Wanted
	m.show(&s)
	return ms.storage.RemoveTombstone(m.Name)
}

// restored reports whether somebody has put a mirror back by hand that had been removed,
// which has not been noticed yet.
func (ms *Mirrors) restored(name storage.Name) bool {
	_, err := ms.storage.Tombstone(name)
	return err == nil
}

// noteWishes notes in a mirror's file what those wanted whose requests a pull has carried
// out.
func (j *pullJob) noteWishes(f *stateFile) {
	f.Wanted = later(f.Wanted, j.ms.wanted(j.req.Name))
	if j.req.Accept != "" {
		f.Accepted = j.asked
	}
}
