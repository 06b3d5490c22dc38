package main

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// TestBuildingWhatSomebodyAsksFor is left to him: what he wants of it next, such as a move,
// must not be refused because of what a peer said before.
func TestBuildingWhatSomebodyAsksFor(t *testing.T) {
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	name, set := named("m"), &settings{git: git.New(git.Options{AllowLocal: true})}
	from, err := origin.Parse(filepath.Join(t.TempDir(), "none.git"), true)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	ms := NewMirrors(t.Context(), dir, nil, log)
	w := &watch{repairs: &repairs{mirrors: ms, log: log}, tries: make(map[storage.Name]*try)}
	build := func() error { return w.build(t.Context(), set, []difference{{name: name, origin: from}}) }
	release, err := ms.claim(pullRequest{Name: name, Origin: from})
	if err != nil {
		t.Fatal(err)
	}
	if err := build(); err != nil {
		t.Errorf("it was begun: %v", err)
	}
	release()
	if err := build(); err == nil {
		t.Error("what nobody asks for was not begun")
	}
	if err := set.git.Repo(dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := build(); err != nil {
		t.Errorf("what is there was begun: %v", err)
	}
}
