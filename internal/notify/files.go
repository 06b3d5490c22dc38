package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/reconquest/sould/internal/durable"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// file is where the ledger of a mirror is.
func (t *teller) file(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(t.dir, hex.EncodeToString(sum[:16]))
}

// complete is the name of the file that says that there is a ledger of each mirror that was there when the
// target was named first. A mirror without one is new.
const complete = "complete"

// isNew reports whether not all ledgers of mirrors that were there before the target have been made.
func (t *teller) isNew() (bool, error) {
	_, err := os.Stat(filepath.Join(t.dir, complete))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// open reads all ledgers. For a target that is new it makes them, so that it is told of nothing that was
// there before. It returns the mirrors that are not as the target was told, and those that were removed since. After
// an error, nothing is told until another call succeeds.
func (t *teller) open(ctx context.Context) (differs []*mirror.Mirror, removed []storage.Name, err error) {
	if isNew, err := t.isNew(); t.first == nil && (isNew || err != nil) {
		t.first = t.present()
	}
	if err := t.ensureDir(); err != nil {
		return nil, nil, err
	}
	isNew, err := t.isNew()
	if isNew {
		err = t.begin()
	}
	if err != nil {
		return nil, nil, err
	}
	files, err := os.ReadDir(t.dir)
	if err != nil {
		return nil, nil, err
	}
	t.first = nil
	all := t.store.All()
	exists := make(map[string]bool, len(all))
	for _, m := range all {
		exists[m.Name.String()] = true
	}
	for _, file := range files {
		if ctx.Err() != nil || file.Name() == complete {
			continue
		}
		if name, ok := t.load(filepath.Join(t.dir, file.Name()), exists); ok {
			removed = append(removed, name)
		}
	}
	return t.differing(), removed, nil
}

// differing are the mirrors that are not as the target was told. From then on it is told of changes.
func (t *teller) differing() (differs []*mirror.Mirror) {
	t.mu.Lock()
	t.isOpen = true // before the mirrors: what changes now is told by tell
	t.mu.Unlock()
	all := t.store.All()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range all {
		e, snap := t.entries[m.Name.String()], m.Snapshot()
		if snap != nil && (e == nil || e.fingerprint != snap.Fingerprint || snap.Removed.After(e.removed)) {
			differs = append(differs, m)
		}
	}
	return differs
}

// leastPause is the time between two tries to write, read or send, at least.
const leastPause = 100 * time.Millisecond

// reopen opens what could not be opened before, such as on a full disk. It returns the time until it has to try
// again.
func (t *teller) reopen(ctx context.Context, now time.Time) (pause time.Duration) {
	t.mu.Lock()
	isOpen := t.isOpen
	t.mu.Unlock()
	switch {
	case isOpen:
		return time.Hour
	case !t.opening.Ready(now):
		return t.opening.Until.Sub(now)
	}
	differs, removed, err := t.open(ctx)
	if err != nil {
		t.opening.Fail(now, t.retry())
		return t.opening.Wait
	}
	t.log.Info("what a URL was told can be read again", "url", t.target)
	t.doubtAll(differs)
	t.doubtRemoved(removed)
	wake(t.Notifier.kick)
	return time.Hour
}

// present are the mirrors that are there and not new, as all servers have them; nil for what is not known.
func (t *teller) present() map[string]*mirror.Snapshot {
	known, present := t.known(), make(map[string]*mirror.Snapshot)
	for _, m := range t.store.All() {
		name, snap := m.Name.String(), m.Snapshot()
		if u, changed := known[name]; u.isNew {
			continue
		} else if changed {
			snap = u.before
		}
		present[name] = snap
	}
	return present
}

// begin makes a ledger of each mirror that was there first, unless an earlier call has. They are not synced each by
// itself: one that is lost with the power is found damaged.
func (t *teller) begin() error {
	for name, snap := range t.first {
		l := ledger{Mirror: name, Blank: true}
		if snap != nil {
			l.Blank, l.Fingerprint, l.Told = false, snap.Fingerprint, keep(snap.Listing)
			l.Origin, l.Removed = snap.Origin.String(), snap.Removed
		}
		before, err := os.ReadFile(t.file(name))
		if _, damage := parseLedger(before); err == nil && damage == nil {
			continue
		}
		text, err := l.bytes()
		if err != nil {
			return err
		}
		if err := os.WriteFile(t.file(name), text, 0o600); err != nil {
			return err
		}
	}
	return durable.WriteFile(filepath.Join(t.dir, complete), filepath.Join(t.dir, complete+temporary), nil, 0o600)
}

// load reads one ledger. That of a mirror that is gone is removed, unless it has a delivery. removed is the name of a
// mirror that somebody has removed, which the target is still to be told.
func (t *teller) load(path string, exists map[string]bool) (removed storage.Name, ok bool) {
	text, err := os.ReadFile(path)
	l, damage := parseLedger(text)
	gone := damage == nil && !exists[l.Mirror] && l.isKnown() && t.wasRemoved(l.Mirror)
	switch {
	case filepath.Ext(path) == temporary: // an interrupted daemon has left it
		_ = os.Remove(path)
	case err == nil && damage == nil && (exists[l.Mirror] || l.Delivery != nil || gone):
		e := &entry{fingerprint: l.Fingerprint, removed: l.Removed, at: l.At}
		if l.Delivery != nil {
			e.since = l.Delivery.Since
		}
		t.mu.Lock()
		t.entries[l.Mirror] = e
		t.mu.Unlock()
	case err == nil && damage == nil:
		_ = os.Remove(path) // the next start tries again
	case err == nil: // a loss of power while it was written for the first time
		t.log.Warn("what a URL was told of a mirror cannot be read", "url", t.target, "file", path, "err", damage)
	default:
		t.log.Error("can't read what a URL was told of a mirror", "url", t.target, "err", err)
	}
	if err == nil && gone {
		removed, err = storage.ParseName(l.Mirror)
		return removed, err == nil
	}
	return removed, false
}

func (t *teller) ensureDir() error {
	if err := t.Notifier.dir.CheckOwned(); err != nil {
		return err
	}
	return os.MkdirAll(t.dir, 0o700)
}

// read reads the ledger of a mirror. Of one without a ledger nothing was told.
func (t *teller) read(name string) (ledger, error) {
	text, err := os.ReadFile(t.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return ledger{Mirror: name}, nil
	}
	if err != nil {
		return ledger{}, err
	}
	l, err := parseLedger(text)
	if err != nil || l.Mirror != name {
		return ledger{Mirror: name, Blank: true}, nil
	}
	return l, nil
}

// write replaces the ledger of a mirror, or removes it if it says nothing.
func (t *teller) write(l ledger) error {
	if l.Delivery == nil && !l.isKnown() {
		if err := t.Notifier.dir.CheckOwned(); err != nil {
			return err
		}
		if err := os.Remove(t.file(l.Mirror)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := l.bytes()
	if err == nil {
		err = t.ensureDir()
	}
	if err != nil {
		return err
	}
	return durable.WriteFile(t.file(l.Mirror), t.file(l.Mirror)+temporary, text, 0o600)
}
