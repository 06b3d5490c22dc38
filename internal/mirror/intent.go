package mirror

import (
	"errors"
	"io/fs"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// intent is what somebody wants of a name: that there be a mirror, or that there be none.
// People say the first by a POST, and the second by a DELETE, and whoever was the last to say
// something is right, on all servers, however late one of them hears of it: a server that was
// away brings back nothing that was removed meanwhile, and removes nothing that somebody has
// asked for since. So intents travel with the requests, and stand in the mirror's own file and
// in its tombstone. That a mirror was pulled is no intent; to put one back by hand is one.
type intent struct {
	At     time.Time // zero for never
	Delete bool
}

// last is the intent that holds of two: the last writer wins.
func last(a, b intent) intent {
	if a.At.After(b.At) {
		return a
	}
	return b
}

// later is the later one of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// intent is the last one that is known of a name. Who acts against it must ask when he holds
// the name's lock.
func (s *Store) intent(name storage.Name) intent {
	known := intent{At: s.wanted(name)}
	if m, err := s.Get(name); err == nil {
		known = last(known, intent{At: m.Snapshot().Wanted})
	}
	if at, deleted := s.DeletedAt(name); deleted {
		known = last(known, intent{At: at, Delete: true})
	}
	return known
}

// wanted is when somebody last asked for a mirror, among those whose requests are being
// carried out.
func (s *Store) wanted(name storage.Name) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.reserved[name]; r != nil {
		return r.wanted
	}
	return time.Time{}
}

// NextIntent returns the time of an intent that is told now. It is later than that of the last
// known intent, even if the clock was set back since.
func (s *Store) NextIntent(name storage.Name, now time.Time) time.Time {
	return later(now, s.intent(name).At.Add(1))
}

// checkWanted checks that a mirror for which somebody asked then was not removed since.
func (s *Store) checkWanted(name storage.Name, wanted time.Time) error {
	if at, deleted := s.DeletedAt(name); deleted && !wanted.After(at) {
		return storage.Conflictf("the mirror was removed here on %s; a POST creates it anew", date(at))
	}
	return nil
}

// DeletedAt tells when the mirror of that name was removed on purpose, if it was and is not
// there again.
func (s *Store) DeletedAt(name storage.Name) (time.Time, bool) {
	t, err := s.dir.Tombstone(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("can't read a tombstone", "mirror", name, "err", err)
	}
	if err != nil {
		return time.Time{}, false
	}
	mirror, err := s.dir.IsMirror(name)
	return t.At, err == nil && !mirror
}

// Restored reports whether somebody has put a mirror back by hand that had been removed,
// which has not been noticed yet.
func (s *Store) Restored(name storage.Name) bool {
	_, err := s.dir.Tombstone(name)
	return err == nil
}

// noticeRestored removes the tombstone of a mirror that is there all the same: somebody has
// put it back by hand, which is an intent as well.
func (h *held) noticeRestored(now time.Time) error {
	dir := h.store.dir
	t, err := dir.Tombstone(h.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := h.update(func(s *stateFile) { s.Wanted = later(now, t.At.Add(1)) }); err != nil {
		return err
	}
	return dir.RemoveTombstone(h.Name)
}
