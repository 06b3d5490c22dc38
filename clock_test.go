package main

import (
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// TestAMirrorIsLookedAtAfterTheClockWasSetBack, and not first when the time has come again
// at which it was last looked at.
func TestAMirrorIsLookedAtAfterTheClockWasSetBack(t *testing.T) {
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	name, set := named("m"), &settings{git: git.New(git.Options{})}
	if err := set.git.Repo(dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	ms := NewMirrors(t.Context(), dir, nil, slog.New(slog.DiscardHandler))
	m, err := ms.find(set, name)
	if err != nil {
		t.Fatal(err)
	}
	m.seen.Store(time.Now().Add(time.Hour).UnixNano())
	if err := os.RemoveAll(m.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := ms.find(set, name); !errors.Is(err, errUnknownMirror) {
		t.Errorf("a mirror that is gone is still known: %v", err)
	}
}
