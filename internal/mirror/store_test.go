package mirror

import (
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// named returns a name that must be valid.
func named(raw string) storage.Name {
	n, err := storage.ParseName(raw)
	if err != nil {
		panic(err)
	}
	return n
}

// newTestStore returns the store of a new directory.
func newTestStore(t *testing.T) *Store {
	t.Helper()
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	opts := &Options{Git: git.New(git.Options{}), MaxFetches: 1, FetchTimeout: time.Minute, ListTimeout: time.Minute}
	s := NewStore(t.Context(), Parts{Dir: dir, Log: slog.New(slog.DiscardHandler), MaxLists: 1}, opts)
	t.Cleanup(func() {
		s.Wait()
		dir.Close()
	})
	return s
}

// initMirror makes an empty mirror.
func initMirror(t *testing.T, s *Store, name storage.Name) {
	t.Helper()
	if err := s.options.Load().Git.Repo(s.dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
}

// TestFindAfterClockIsSetBack: the store looks for a mirror on disk although it last did so at a
// time that is now in the future.
func TestFindAfterClockIsSetBack(t *testing.T) {
	s, name := newTestStore(t), named("m")
	initMirror(t, s, name)
	m, err := s.find(name)
	if err != nil {
		t.Fatal(err)
	}
	m.seen.Store(time.Now().Add(time.Hour).UnixNano())
	if err := os.RemoveAll(m.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.find(name); !errors.Is(err, ErrUnknown) {
		t.Errorf("a mirror that is gone is still known: %v", err)
	}
}
