package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Deletable reports whether there is anything to remove under that name: a mirror, one
// that is just being made, or one that was removed before.
func (ms *Mirrors) Deletable(set *settings, name Name) bool {
	_, err := ms.find(set, name)
	_, buried := ms.deletedAt(name)
	return !errors.Is(err, errUnknownMirror) || buried || ms.Progress(name) != nil
}

// deletedAt tells when the mirror of that name was removed on purpose, if it was and
// is not there again. Who is about to bring it back must ask when it has the turn.
func (ms *Mirrors) deletedAt(name Name) (time.Time, bool) {
	t, err := ms.storage.Tombstone(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		ms.log.Error("can't read a tombstone", "mirror", name, errTree(err))
	}
	if err != nil {
		return time.Time{}, false
	}
	mirror, err := ms.storage.IsMirror(name)
	return t.At, err == nil && !mirror
}

// stillWanted checks that a mirror is not brought back that was removed on purpose.
func (ms *Mirrors) stillWanted(req pullRequest) error {
	if at, removed := ms.deletedAt(req.Name); removed && !req.Revives {
		return &conflict{fmt.Sprintf("the mirror was removed here on %s; a POST creates it anew", httpDate(at))}
	}
	return nil
}

// Delete removes a mirror when nobody writes to it any more. That there is none is no
// error: it is as if it had been. Who reads it still reads on.
func (ms *Mirrors) Delete(ctx context.Context, set *settings, name Name) error {
	end, err := ms.turns.take(ctx, name)
	if err != nil {
		return err
	}
	defer end()
	_, err = ms.find(set, name)
	known := !errors.Is(err, errUnknownMirror)
	if err != nil && known {
		return err
	}
	t := tombstone{Name: name.String(), At: time.Now().UTC()}
	if m, err := ms.Get(set, name); err == nil { // one that cannot be read goes as well
		t.Origin, t.Fingerprint = m.Snapshot().Origin.String(), m.Snapshot().Fingerprint
	}
	if old, err := ms.storage.Tombstone(name); err == nil && !known {
		t.Origin, t.Fingerprint = old.Origin, old.Fingerprint
	}
	// The tombstone comes first: a crash after it leaves a mirror that nobody was told
	// is gone, and not a mirror that comes back.
	if err := ms.storage.Entomb(name, t); err != nil {
		return fmt.Errorf("can't write the tombstone: %w", err)
	}
	if !known {
		return nil
	}
	ms.mu.Lock()
	delete(ms.byName, name)
	ms.remade()
	to, err := ms.storage.Discard(name, t.At)
	ms.mu.Unlock()
	if err != nil {
		return fmt.Errorf("can't remove the mirror: %w", err)
	}
	ms.log.Info("removed", "mirror", name, "to", to)
	return nil
}
