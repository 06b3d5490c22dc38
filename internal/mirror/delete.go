package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// Deletable reports whether there is anything to remove under that name: a mirror, one
// that is just being made, or one that was removed before.
func (s *Store) Deletable(name storage.Name) bool {
	_, err := s.find(name)
	_, deleted := s.DeletedAt(name)
	return !errors.Is(err, ErrUnknown) || deleted || s.Progress(name) != nil
}

// Delete removes a mirror, for somebody who asked for that then, when nobody writes to it
// any more. It is no error if there is no such mirror. Readers that have begun may finish.
// The error is a *storage.Conflict if somebody has asked for the mirror since.
func (s *Store) Delete(ctx context.Context, name storage.Name, asked time.Time) error {
	lock, err := s.locks.Lock(ctx, name)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	lock.Preempt()
	m, err := s.find(name)
	known := !errors.Is(err, ErrUnknown)
	if err != nil && known {
		return err
	}
	if intent := s.intent(name); !intent.Delete && intent.At.After(asked) {
		return storage.Conflictf("somebody has asked for the mirror again on %s", date(intent.At))
	}
	// The tombstone comes first: a crash after it leaves a mirror that nobody was told
	// is gone, and not a mirror that comes back.
	if err := s.dir.WriteTombstone(name, s.tombstone(name, known, asked)); err != nil {
		return fmt.Errorf("can't write the tombstone: %w", err)
	}
	if !known {
		return nil
	}
	s.mu.Lock()
	delete(s.byName, name)
	s.remade()
	to, err := s.dir.MoveToTrash(name, m.identity, time.Now())
	s.mu.Unlock()
	if err == nil {
		err = s.dir.SyncTrash(name, to)
	}
	if err != nil {
		return fmt.Errorf("can't remove the mirror: %w", err)
	}
	s.log.Info("removed", "mirror", name, "to", to)
	return nil
}

// tombstone is that of a mirror which is about to be removed, or was removed before.
func (s *Store) tombstone(name storage.Name, known bool, asked time.Time) storage.Tombstone {
	t := storage.Tombstone{Name: name.String(), At: asked.UTC()}
	if m, err := s.Get(name); err == nil { // one that cannot be read goes as well
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
