package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// Deletable reports whether there is anything to remove under that name: a mirror, a mirror
// that is being made, or the tombstone of one.
func (s *Store) Deletable(name storage.Name) bool {
	_, err := s.find(name)
	_, deleted := s.DeletedAt(name)
	return !errors.Is(err, ErrUnknown) || deleted || s.Progress(name) != nil
}

// Delete removes a mirror and writes its tombstone, once the mirror has no other writer. asked
// is when somebody asked for that. Without a mirror, which existed says, only the tombstone is
// written. Readers that have begun may finish. The error is a *storage.Conflict if somebody has
// asked for the mirror after asked.
func (s *Store) Delete(ctx context.Context, name storage.Name, asked time.Time) (existed bool, err error) {
	lock, err := s.locks.Lock(ctx, name)
	if err != nil {
		return false, err
	}
	defer lock.Unlock()
	lock.Preempt()
	m, err := s.find(name)
	known := !errors.Is(err, ErrUnknown)
	if err != nil && known {
		return known, err
	}
	if intent := s.intent(name); !intent.Delete && intent.At.After(asked) {
		return known, storage.Conflictf("somebody has asked for the mirror again on %s", date(intent.At))
	}
	// The tombstone comes first. A crash after it leaves a mirror whose deletion nobody has
	// confirmed; the other way round, a deleted mirror could come back.
	tombstone := s.tombstone(name, known, asked)
	if err := s.dir.WriteTombstone(name, tombstone); err != nil {
		return known, fmt.Errorf("can't write the tombstone: %w", err)
	}
	if !known {
		return false, nil
	}
	s.mu.Lock()
	delete(s.byName, name)
	s.mirrorsChanged(name)
	to, err := s.dir.MoveToTrash(name, m.identity, time.Now())
	s.mu.Unlock()
	if err == nil {
		err = s.dir.SyncTrash(name, to)
	}
	if err != nil {
		return known, fmt.Errorf("can't remove the mirror: %w", err)
	}
	s.log.Info("removed", "mirror", name, "to", to)
	if s.removed != nil {
		s.removed(name, tombstone.At)
	}
	return true, nil
}

// tombstone returns the tombstone for a mirror that is about to be removed or, if it is not
// known, was removed before.
func (s *Store) tombstone(name storage.Name, known bool, asked time.Time) storage.Tombstone {
	t := storage.Tombstone{Name: name.String(), At: asked.UTC()}
	if m, err := s.Get(name); err == nil { // a mirror that cannot be read is removed as well
		snap := m.Snapshot()
		t.Origin, t.Fingerprint = snap.Origin.String(), snap.Fingerprint
	}
	if old, err := s.dir.Tombstone(name); err == nil {
		t.At = later(t.At, old.At)
		if !known {
			t.Origin, t.Fingerprint = old.Origin, old.Fingerprint
		}
	}
	return t
}
