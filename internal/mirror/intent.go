package mirror

import (
	"errors"
	"io/fs"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// intent is what somebody wants of a name: that there is a mirror (a POST) or that there is
// none (a DELETE). On all servers the last intent holds, however late a server hears of it: a
// server that was away brings back nothing that was removed meanwhile, and removes nothing that
// somebody has asked for since. So intents travel with the requests, and are in state files and
// tombstones. A pull is no intent; an operator who puts a mirror back by hand states one.
type intent struct {
	At     time.Time // zero for never
	Delete bool
}

// last returns the intent of the two that holds: the last writer wins.
func last(a, b intent) intent {
	if a.At.After(b.At) {
		return a
	}
	return b
}

// later returns the later one of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// intent returns the last known intent for a name. A caller that acts against it must hold the
// name's lock.
func (s *Store) intent(name storage.Name) intent {
	at, _ := s.wanted(name)
	known := intent{At: at}
	if m, err := s.Get(name); err == nil {
		known = last(known, intent{At: m.Snapshot().Wanted})
	}
	if at, deleted := s.DeletedAt(name); deleted {
		known = last(known, intent{At: at, Delete: true})
	}
	return known
}

// wanted returns when and from where somebody last asked for a mirror, among the requests that are
// being carried out; zero for none.
func (s *Store) wanted(name storage.Name) (at time.Time, by string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.reserved[name]; r != nil {
		return r.wanted, r.by
	}
	return time.Time{}, ""
}

// NextIntent returns the time for a new intent: now, or just after the last known intent if the
// clock was set back since.
func (s *Store) NextIntent(name storage.Name, now time.Time) time.Time {
	return later(now, s.intent(name).At.Add(1))
}

// checkWanted checks that a mirror was not removed after somebody asked for it at that time. The
// error is a *storage.Conflict.
func (s *Store) checkWanted(name storage.Name, wanted time.Time) error {
	if at, deleted := s.DeletedAt(name); deleted && !wanted.After(at) {
		return storage.Conflictf("%w here on %s; a POST creates it anew", errRemoved, date(at))
	}
	return nil
}

// errRemoved is why nothing is pulled for whom has asked before a DELETE.
var errRemoved = errors.New("the mirror was removed")

// DeletedAt returns when the mirror of that name was removed by a DELETE. It returns false if it
// was not, or if there is a mirror again.
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

// Restored reports, for a name that has a mirror, whether an operator has put that mirror back
// by hand after it was removed, and no pull has recorded this yet.
func (s *Store) Restored(name storage.Name) bool {
	_, err := s.dir.Tombstone(name)
	return err == nil
}

// recordRestored removes the tombstone of an existing mirror: an operator has put the mirror
// back by hand, which is recorded as an intent.
func (h *held) recordRestored(now time.Time) error {
	dir := h.store.dir
	t, err := dir.Tombstone(h.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := h.update(func(s *stateFile) { s.Wanted, s.WantedBy = later(now, t.At.Add(1)), "" }); err != nil {
		return err
	}
	return dir.RemoveTombstone(h.Name)
}
