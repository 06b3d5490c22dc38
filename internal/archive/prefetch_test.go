package archive

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
)

// emptyMirror returns a mirror without commits: no archive of it can be made.
func emptyMirror(t *testing.T) (*storage.Dir, *mirror.Mirror) {
	t.Helper()
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	name, err := storage.ParseName("m")
	if err != nil {
		t.Fatal(err)
	}
	opts := &mirror.Options{Git: git.New(git.Options{}), MaxFetches: 1, FetchTimeout: time.Minute, ListTimeout: time.Minute}
	if err := opts.Git.Repo(dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	store := mirror.NewStore(t.Context(), mirror.Parts{Dir: dir, Log: slog.New(slog.DiscardHandler), MaxLists: 1}, opts)
	t.Cleanup(func() {
		store.Wait()
		dir.Close()
	})
	m, err := store.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

// TestPrefetchGivesWay: a client asks for an archive at the moment at which it is made ahead, and
// there is one place for both. Neither waits for the other.
func TestPrefetchGivesWay(t *testing.T) {
	dir, m := emptyMirror(t)
	files, err := spool.Open(dir.Own("cache"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	cache := NewCache(files, dir.Neutral, &Options{MaxArchives: 1, Timeout: time.Minute, Limit: 1 << 20})
	for i := range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		a := Archive{Commit: strconv.Itoa(i), Format: Tar} // there is no such commit: it fails soon
		var both sync.WaitGroup
		both.Go(func() { _ = cache.makeIdle(ctx, m, a) })
		both.Go(func() {
			r, err := cache.Get(m, a, false)
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

// TestPrefetchRemembers: requests for branches that a pull has moved become jobs, and the others are
// still remembered.
func TestPrefetchRemembers(t *testing.T) {
	_, m := emptyMirror(t)
	snapshot := func(words ...string) *mirror.Snapshot { return &mirror.Snapshot{Listing: gittest.Listing(words...)} }
	before := snapshot("heads/main=a", "heads/side=b", "tags/v1=c", "HEAD=main")
	after := snapshot("heads/main=d", "heads/side=b", "tags/v1=e", "HEAD=main")
	p := NewPrefetcher(nil, slog.New(slog.DiscardHandler))
	for _, ref := range []string{"", "main", "side", "v1", "none"} {
		p.Asked(m.Name, Spec{Ref: ref, Format: Tar})
	}
	p.Changed(m, before, after, false)
	p.jobs.Add(job{spec: Spec{Ref: "the last"}})
	ctx, cancel := context.WithCancel(t.Context())
	var made, left []string
	p.jobs.Run(ctx, func(_ context.Context, one job) {
		if made = append(made, one.spec.Ref); one.spec.Ref == "the last" {
			cancel()
		}
	})
	for _, spec := range p.specs.Take(m.Name.String(), func(_, _ Spec) bool { return true }) {
		left = append(left, spec.Ref)
	}
	slices.Sort(made)
	slices.Sort(left)
	if !slices.Equal(made, []string{"", "main", "the last"}) || !slices.Equal(left, []string{"none", "side", "v1"}) {
		t.Errorf("made ahead: %q, still remembered: %q", made, left)
	}
}
