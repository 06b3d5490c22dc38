package mirror

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// TestKnownWhole: what is known of a mirror holds for this server, and for these packs.
func TestKnownWhole(t *testing.T) {
	m := &Mirror{store: &Store{dir: &storage.Dir{ID: "us"}}, Dir: t.TempDir()}
	m.show(&Snapshot{})
	h := m.hold(&Options{Git: git.New(git.Options{})}, nil)
	packs := filepath.Join(m.Dir, "objects", "pack")
	if err := os.MkdirAll(packs, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(packs, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, want bool) {
		t.Helper()
		if got := h.knownWhole() != nil; got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	write("pack-1.pack", "1")
	check("nobody has looked", false)
	now, err := h.repo.Inventory()
	if err != nil {
		t.Fatal(err)
	}
	record := func(w wholeness) {
		t.Helper()
		if err := h.update(func(s *stateFile) { s.Whole = w }); err != nil {
			t.Fatal(err)
		}
	}
	record(wholeness{"another", now.Digest()})
	check("another server has looked", false)
	record(m.store.whole(now))
	check("this one has", true)
	write("pack-2.pack", "2")
	check("there is another pack", false)
	if err := h.recordRepack(git.RepackGeometric, h.state().Repacked, nil); err != nil {
		t.Fatal(err)
	}
	check("it was repacked, and nobody knew", false)
	if err := h.recordRepack(git.RepackGeometric, h.state().Repacked, now); err != nil {
		t.Fatal(err)
	}
	check("it was repacked", true)
	write("pack-1.pack", "")
	check("a pack is cut", false)
	if state, err := readState(m.Dir); err != nil || state.successor().Whole != (wholeness{}) {
		t.Errorf("what takes its place is known to be whole: %+v, %v", state, err)
	}
}
