package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/reconquest/sould/internal/durable"
	"github.com/reconquest/sould/internal/storage"
)

// file is where the ledger of a mirror is.
func (t *teller) file(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(t.dir, hex.EncodeToString(sum[:16]))
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
		t.entries[l.Mirror] = e
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
