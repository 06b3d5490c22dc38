package main

import (
	"log/slog"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// TestATombstoneBesideAMirror says nothing: a crash has left it there.
func TestATombstoneBesideAMirror(t *testing.T) {
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	ms := NewMirrors(t.Context(), dir, nil, slog.New(slog.DiscardHandler))
	name, at := named("m"), time.Unix(1000, 0).UTC()
	if _, deleted := ms.deletedAt(name); deleted {
		t.Error("it is deleted without a tombstone")
	}
	if err := dir.WriteTombstone(name, storage.Tombstone{Name: "m", At: at}); err != nil {
		t.Fatal(err)
	}
	if got, deleted := ms.deletedAt(name); !deleted || !got.Equal(at) {
		t.Errorf("with a tombstone: %s, %v", got, deleted)
	}
	if err := git.New(git.Options{}).Repo(dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	if got, deleted := ms.deletedAt(name); deleted {
		t.Errorf("it is there, and was deleted on %s", got)
	}
}
