package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// asksToDelete is when somebody asks for a mirror to be gone, who asks now: not before the
// mirror was last asked for, whatever the clock said then.
func (ms *Mirrors) asksToDelete(set *settings, name storage.Name, now time.Time) time.Time {
	if m, err := ms.Get(set, name); err == nil {
		return later(now, m.Snapshot().Wanted.Add(1))
	}
	return now
}

// asksFor is the same for somebody who asks for a mirror that may have been removed.
func (ms *Mirrors) asksFor(name storage.Name, now time.Time) time.Time {
	at, _ := ms.deletedAt(name)
	return later(now, at.Add(1))
}

// Deletable reports whether there is anything to remove under that name: a mirror, one
// that is just being made, or one that was removed before.
func (ms *Mirrors) Deletable(set *settings, name storage.Name) bool {
	_, err := ms.find(set, name)
	_, buried := ms.deletedAt(name)
	return !errors.Is(err, errUnknownMirror) || buried || ms.Progress(name) != nil
}

// deletedAt tells when the mirror of that name was removed on purpose, if it was and
// is not there again. Who is about to bring it back must ask when it has the turn.
func (ms *Mirrors) deletedAt(name storage.Name) (time.Time, bool) {
	t, err := ms.storage.Tombstone(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		ms.log.Error("can't read a tombstone", "mirror", name, "err", err)
	}
	if err != nil {
		return time.Time{}, false
	}
	mirror, err := ms.storage.IsMirror(name)
	return t.At, err == nil && !mirror
}

// Delete removes a mirror, for somebody who asked for that then, when nobody writes to it
// any more. That there is none is no error: it is as if it had been. Who reads it still
// reads on. The error is a *Conflict if somebody has asked for the mirror since.
func (ms *Mirrors) Delete(ctx context.Context, set *settings, name storage.Name, asked time.Time) error {
	end, err := ms.turns.take(ctx, name)
	if err != nil {
		return err
	}
	defer end()
	ms.turns.clear(name)
	_, err = ms.find(set, name)
	known := !errors.Is(err, errUnknownMirror)
	if err != nil && known {
		return err
	}
	t := storage.Tombstone{Name: name.String(), At: asked.UTC()}
	wanted := ms.wanted(name)
	if m, err := ms.Get(set, name); err == nil { // one that cannot be read goes as well
		s := m.Snapshot()
		t.Origin, t.Fingerprint = s.Origin.String(), s.Fingerprint
		wanted = later(wanted, s.Wanted)
	}
	if wanted.After(asked) {
		return storage.Conflictf("somebody has asked for the mirror again on %s", httpDate(wanted))
	}
	if old, err := ms.storage.Tombstone(name); err == nil {
		t.At = later(t.At, old.At)
		if !known {
			t.Origin, t.Fingerprint = old.Origin, old.Fingerprint
		}
	}
	// The tombstone comes first: a crash after it leaves a mirror that nobody was told
	// is gone, and not a mirror that comes back.
	if err := ms.storage.WriteTombstone(name, t); err != nil {
		return fmt.Errorf("can't write the tombstone: %w", err)
	}
	if !known {
		return nil
	}
	ms.mu.Lock()
	delete(ms.byName, name)
	ms.remade()
	to, err := ms.storage.MoveToTrash(name, time.Now())
	ms.mu.Unlock()
	if err == nil {
		err = ms.storage.SyncTrash(name, to)
	}
	if err != nil {
		return fmt.Errorf("can't remove the mirror: %w", err)
	}
	ms.log.Info("removed", "mirror", name, "to", to)
	return nil
}
