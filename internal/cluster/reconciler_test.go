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

// TestReconcilerLeavesRequestedMirrorsAlone: while a request builds a mirror, the reconciler must
// not start a run of its own. Its run would have the peer's origin, and the client's next request,
// such as a move, would be refused because of that.
func TestReconcilerLeavesRequestedMirrorsAlone(t *testing.T) {
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	log := slog.New(slog.DiscardHandler)
	client := NewClient("self", "instance", slog.New(slog.DiscardHandler), &Options{MaxConns: 1})
	opts := &mirror.Options{
		Git: git.New(git.Options{AllowLocal: true}), Origins: origin.Policy{Local: true},
		FetchTimeout: time.Minute, ListTimeout: time.Minute, MaxFetches: 1,
	}
	store := mirror.NewStore(t.Context(), mirror.Parts{Dir: dir, Log: log, Fallback: NewFallback(client), MaxLists: 1}, opts)
	defer store.Wait()
	c := &comparer{Reconciler: NewReconciler(t.Context(), store, client, log, func(string) {}), tries: make(map[storage.Name]*try)}
	name, from := named("m"), mustParse(t, filepath.Join(t.TempDir(), "none.git"))
	build := func() error {
		return c.build(t.Context(), client.current.Load(), []difference{{name: name, origin: from}})
	}
	run, err := store.Begin(mirror.Request{Name: name, Origin: from, Wanted: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := build(); err != nil {
		t.Errorf("a mirror that a request builds was begun again: %v", err)
	}
	_, _ = run.Wait(t.Context()) // there is nothing to pull from
	if err := build(); err == nil {
		t.Error("a mirror that nobody has requested was not begun")
	}
	if err := opts.Git.Repo(dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := build(); err != nil {
		t.Errorf("an existing mirror was begun again: %v", err)
	}
}
