package cluster

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
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
	log := slog.New(slog.DiscardHandler)
	client := NewClient("self", &Options{MaxConns: 1})
	opts := &mirror.Options{
		Git: git.New(git.Options{AllowLocal: true}), Origins: origin.Policy{Local: true},
		FetchTimeout: time.Minute, ListTimeout: time.Minute, MaxFetches: 1,
	}
	store := mirror.NewStore(t.Context(), mirror.Parts{Dir: dir, Log: log, Fallback: NewFallback(client), MaxLists: 1}, opts)
	defer store.Wait()
	w := &comparer{Reconciler: NewReconciler(t.Context(), store, client, log), tries: make(map[storage.Name]*try)}
	name, from := named("m"), mustParse(t, filepath.Join(t.TempDir(), "none.git"))
	build := func() error {
		return w.build(t.Context(), client.current.Load(), []difference{{name: name, origin: from}})
	}
	run, err := store.Begin(mirror.Request{Name: name, Origin: from, Wanted: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := build(); err != nil {
		t.Errorf("it was begun: %v", err)
	}
	_, _ = run.Wait(t.Context()) // there is nothing to pull from
	if err := build(); err == nil {
		t.Error("what nobody asks for was not begun")
	}
	if err := opts.Git.Repo(dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := build(); err != nil {
		t.Errorf("what is there was begun: %v", err)
	}
}
