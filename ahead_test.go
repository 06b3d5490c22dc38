package main

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// TestAheadGivesWay has a client ask for an archive at the moment at which it is made
// ahead, with one place for both: neither waits for the other.
func TestAheadGivesWay(t *testing.T) {
	dir := &storage.Dir{Path: t.TempDir()}
	as, err := NewArchives(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer as.Close()
	set := &settings{Config: Config{MaxArchives: 1, ArchiveTimeout: time.Minute, ArchiveLimit: 1 << 20}, git: git.New(git.Options{})}
	as.places.Resize(1)
	m := &Mirror{Name: named("m"), Dir: t.TempDir()} // without any commit: all fail, and soon
	for i := range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		a := archive{commit: strconv.Itoa(i), format: &formats[0]}
		var both sync.WaitGroup
		both.Go(func() { _ = as.Ahead(ctx, set, m, a) })
		both.Go(func() {
			r, err := as.Get(set, m, a)
			if err == nil {
				_ = r.Wait(ctx)
				r.Close()
			}
		})
		both.Wait()
		if ctx.Err() != nil {
			t.Errorf("the %d. pair waits for ever", i+1)
		}
		cancel()
	}
}
