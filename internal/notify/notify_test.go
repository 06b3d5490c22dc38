package notify

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// newTestNotifier returns a notifier of an empty store, and the name of a mirror.
func newTestNotifier(t *testing.T) (*Notifier, storage.Name) {
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	name, err := storage.ParseName("m")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	store := mirror.NewStore(t.Context(), mirror.Parts{Dir: dir, Log: log, MaxLists: 1}, &mirror.Options{Git: git.New(git.Options{Leash: dir.Leash})})
	return New(dir, store, nil, log, &Options{Targets: make([]Target, 1)}), name
}

// TestRemovalIsNotForgotten: a removal is told as long as somebody remembers it, even if that cannot be read now.
func TestRemovalIsNotForgotten(t *testing.T) {
	n, name := newTestNotifier(t)
	u := unsure{name: name, removed: time.Unix(1, 0)}
	over := func() bool {
		told, over := n.agreed(t.Context(), &Options{}, u)
		if told != nil {
			t.Errorf("told %+v", told)
		}
		return over
	}
	if !over() {
		t.Error("what nobody remembers is kept")
	}
	fault := n.dir.Own("tombstones/m")
	if err := os.Mkdir(fault, 0o700); err != nil {
		t.Fatal(err)
	}
	if over() {
		t.Error("a fault of the disk has forgotten it")
	}
	if err := os.Remove(fault); err != nil {
		t.Fatal(err)
	}
	if err := n.dir.WriteTombstone(name, storage.Tombstone{Name: "m", At: u.removed}); err != nil {
		t.Fatal(err)
	}
	if err := git.New(git.Options{Leash: n.dir.Leash}).Repo(n.dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	if !over() {
		t.Error("a mirror that was put back is told of as removed")
	}
}

// TestLedgerOfARemovedMirror: it stays as long as somebody remembers the removal, even if that cannot be read now.
func TestLedgerOfARemovedMirror(t *testing.T) {
	n, _ := newTestNotifier(t)
	target, err := ParseTarget("http://ci.local/")
	if err != nil {
		t.Fatal(err)
	}
	teller := newTeller(n, target, &Options{}, nil)
	fault := n.dir.Own("tombstones/m")
	if err := os.Mkdir(fault, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := teller.write(ledger{Mirror: "m", Fingerprint: "f"}); err != nil {
		t.Fatal(err)
	}
	teller.load(teller.file("m"), nil)
	if _, err := os.Stat(teller.file("m")); err != nil {
		t.Errorf("with a fault of the disk: %v", err)
	}
	if err := os.Remove(fault); err != nil {
		t.Fatal(err)
	}
	teller.load(teller.file("m"), nil)
	if _, err := os.Stat(teller.file("m")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what nobody remembers is kept: %v", err)
	}
}

// TestKnownIsACopy: what is known of mirrors can be read while they change.
func TestKnownIsACopy(t *testing.T) {
	n, name := newTestNotifier(t)
	n.Removed(name, time.Unix(1, 0))
	known := n.known()
	n.Changed(&mirror.Mirror{Name: name}, nil, state("main=1"))
	if one := known["m"]; one.isNew || one.removed.IsZero() {
		t.Errorf("%+v", one)
	}
	if one := n.known()["m"]; !one.isNew || !one.removed.IsZero() {
		t.Errorf("%+v", one)
	}
}
