package mirror

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// TestCheckNameFree: conflicts, which other servers have as well, are told from faults of this
// storage.
func TestCheckNameFree(t *testing.T) {
	s := newTestStore(t)
	initMirror(t, s, named("mirror"))
	if err := os.Mkdir(s.dir.MirrorDir(named("above")), 0o755); err != nil {
		t.Fatal(err)
	}
	initMirror(t, s, named("above/mirror"))
	for _, err := range []error{
		os.WriteFile(s.dir.MirrorDir(named("file")), nil, 0o644),
		os.Symlink("nowhere", s.dir.MirrorDir(named("link"))),
		os.Symlink("mirror", s.dir.MirrorDir(named("alias"))),
		os.MkdirAll(s.dir.MirrorDir(named("empty/dir")), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"free": "", "empty": "", "empty/dir": "", "mirror/m": "conflict", "alias/m": "conflict", "above": "conflict",
		"file": "fault", "file/m": "fault", "link": "fault", "link/m": "fault",
	} {
		got, err := "", s.checkNameFree(named(name))
		switch {
		case errors.As(err, new(*storage.Conflict)):
			got = "conflict"
		case err != nil:
			got = "fault"
		}
		if got != want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, want)
		}
	}
}

// TestLostStorage: mirrors stay known while their storage is missing.
func TestLostStorage(t *testing.T) {
	s, name := newTestStore(t), named("m")
	initMirror(t, s, name)
	state := stateFile{Outcome: Success, Pulled: time.Unix(1_800_000_000, 0)}
	if err := state.write(s.dir.MirrorDir(name)); err != nil {
		t.Fatal(err)
	}
	if snap := s.LastKnown(name); snap == nil || snap.Outcome != Success || !snap.Date().Equal(state.Pulled) {
		t.Errorf("of a mirror that was not loaded is known %+v", snap)
	}
	m, err := s.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	away := s.dir.Path + ".away"
	if err := os.Rename(s.dir.Path, away); err != nil {
		t.Fatal(err)
	}
	generation := s.Generation()
	for _, name := range []string{"m", "never"} {
		eventuallyLost(t, s, named(name))
	}
	if err := s.scan(); !errors.Is(err, storage.ErrLost) {
		t.Errorf("the scan: %v", err)
	}
	if s.Generation() == generation || len(s.All()) != 1 || s.LastKnown(name) != m.Snapshot() {
		t.Errorf("mirrors are forgotten: %v", s.All())
	}
	if err := os.Rename(away, s.dir.Path); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Get(name); again != m || err != nil {
		t.Errorf("got %v, %v", again, err)
	}
}

// eventuallyLost waits until the store looks for the mirror on disk again.
func eventuallyLost(t *testing.T, s *Store, name storage.Name) {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(statInterval) {
		if _, err := s.Get(name); errors.Is(err, storage.ErrLost) {
			return
		}
	}
	t.Errorf("%s is not lost", name)
}

// TestContentStamp: the stamp changes when somebody writes a pack, and only then.
func TestContentStamp(t *testing.T) {
	s, name := newTestStore(t), named("m")
	initMirror(t, s, name)
	repo := s.options.Load().Git.Repo(s.dir.MirrorDir(name))
	before := contentStamp(repo)
	if contentStamp(repo) != before {
		t.Error("the stamp changes by itself")
	}
	if err := os.WriteFile(repo.Dir+"/objects/pack/pack-1.pack", []byte("x"), 0o444); err != nil {
		t.Fatal(err)
	}
	if contentStamp(repo) == before {
		t.Error("a new pack does not change the stamp")
	}
}
