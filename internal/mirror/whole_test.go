package mirror

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// TestKnownWhole: a mirror is known to be whole only by the server that checked it, and only with
// the packs that it had then.
func TestKnownWhole(t *testing.T) {
	m := &Mirror{store: &Store{dir: &storage.Dir{ID: "us"}}, dir: t.TempDir()}
	m.setSnapshot(&Snapshot{})
	h := m.hold(&Options{Git: git.New(git.Options{})}, nil)
	packs := filepath.Join(m.dir, "objects", "pack")
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
	check("nobody has checked", false)
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
	check("another server has checked", false)
	record(m.store.wholenessOf(now))
	check("this server has checked", true)
	write("pack-2.pack", "2")
	check("there is another pack", false)
	if err := h.recordRepack(git.RepackGeometric, h.state().Repacked, nil); err != nil {
		t.Fatal(err)
	}
	check("it was not known before a repack", false)
	if err := h.recordRepack(git.RepackGeometric, h.state().Repacked, now); err != nil {
		t.Fatal(err)
	}
	check("it was known before a repack", true)
	write("tmp_pack_x.pack", "x")
	write(".tmp-7-pack-3.pack", "x")
	check("another repack is running", true)
	known := h.knownWhole()
	write("pack-3.pack", "3")
	for _, c := range []struct {
		what  string
		ended error
		want  bool
	}{
		{"a repack has failed", errors.New("no"), false},
		{"a repack was preempted", fmt.Errorf("git repack: %w", ErrPreempted), true},
	} {
		if err := h.recordStillWhole(known, c.ended); err != nil {
			t.Fatal(err)
		}
		check(c.what, c.want)
	}
	if err := os.Remove(filepath.Join(packs, "pack-3.pack")); err != nil {
		t.Fatal(err)
	}
	if err := h.recordStillWhole(known, errTookTooLong); err != nil {
		t.Fatal(err)
	}
	check("a repack took too long", true)
	known = h.knownWhole()
	write("pack-1.pack", "")
	if err := h.recordStillWhole(known, errTookTooLong); err != nil {
		t.Fatal(err)
	}
	check("a pack is cut off", false)
	if state, err := readState(m.dir); err != nil || state.successor().Whole != (wholeness{}) {
		t.Errorf("the replacement is known to be whole: %+v, %v", state, err)
	}
}
