package housekeeping

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

func TestChooseRepack(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	long, recent := now.Add(-fullEvery), now.Add(-time.Hour)
	const big = smallMirror + 1
	for _, c := range []struct {
		p                 git.Packs
		repacked, changed time.Time
		owed              bool
		want              git.Repack
	}{
		{git.Packs{Count: 1}, recent, now, false, git.RepackNone},
		{git.Packs{Count: tolerablePacks, Loose: tolerableLoose, Size: big}, recent, now, false, git.RepackNone},
		{git.Packs{Count: tolerablePacks + 1}, recent, now, false, git.RepackFull},
		{git.Packs{Count: tolerablePacks + 1, Size: big}, recent, now, false, git.RepackGeometric},
		{git.Packs{Count: tooManyPacks, Size: big}, recent, now, false, git.RepackGeometric},
		{git.Packs{Count: tooManyPacks + 1, Size: big}, recent, now, false, git.RepackIncremental},
		{git.Packs{Count: tooManyPacks + 1}, long, now, true, git.RepackIncremental},
		{git.Packs{Count: 3, Size: big}, recent, now, true, git.RepackGeometric},
		{git.Packs{Count: 3}, recent, now, true, git.RepackFull},
		{git.Packs{Count: 1, Loose: tolerableLoose + 1, Size: big}, recent, recent, false, git.RepackFull},
		{git.Packs{Count: 1}, long, recent, false, git.RepackFull},
		{git.Packs{Count: 1}, long, long, false, git.RepackNone},
		{git.Packs{Count: 1, Unreachable: 1}, long, long, false, git.RepackFull},
		{git.Packs{Count: 1, Unreachable: 1}, recent, long, false, git.RepackNone},
		{git.Packs{Count: 1}, time.Time{}, long, false, git.RepackFull},
		{git.Packs{}, time.Time{}, long, false, git.RepackNone},
		{git.Packs{Count: 1}, now.Add(time.Hour), long, false, git.RepackFull},
	} {
		if got := chooseRepack(c.p, c.repacked, c.changed, now, c.owed); got != c.want {
			t.Errorf("%+v: %s, want %s", c, got, c.want)
		}
	}
	if got := chooseAfterPull(git.Packs{Count: 1}, now); got != git.RepackNone {
		t.Errorf("after a pull: %s", got)
	}
}

func TestQueue(t *testing.T) {
	c := newQueue()
	now := time.Now()
	a, b := named("a"), named("b")
	c.add(a, job{at: now.Add(2 * time.Second), unfinished: true})
	c.add(b, job{at: now.Add(time.Second)})
	if _, _, wait := c.next(now); wait != time.Second {
		t.Errorf("wait for %s", wait)
	}
	c.add(a, job{at: now})
	c.postpone(b, now.Add(3*time.Second))
	c.postpone(b, now) // not to an earlier time
	c.postpone(named("none"), now)
	if name, j, wait := c.next(now); name != a || !j.unfinished || wait > 0 {
		t.Errorf("%v %+v %s", name, j, wait)
	}
	if name, _, wait := c.next(now.Add(3 * time.Second)); name != b || wait > 0 {
		t.Errorf("%v %s", name, wait)
	}
	for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		c.pause(a, now, time.Minute)
		c.add(a, job{at: now})
		if _, _, wait := c.next(now); wait != pause {
			t.Errorf("after a failure a pause of %s, want %s", wait, pause)
		}
	}
	c.done(a)
	c.add(a, job{at: now})
	if name, _, wait := c.next(now); name != a || wait > 0 {
		t.Errorf("%v %s", name, wait)
	}
	for i := range maxRepacks + 10 {
		c.add(named(fmt.Sprint(i)), job{at: now})
		c.pause(named(fmt.Sprint(i)), now, time.Minute)
	}
	if len(c.jobs) != maxRepacks || len(c.pauses) > maxRepacks {
		t.Errorf("%d jobs, %d pauses", len(c.jobs), len(c.pauses))
	}
}

// TestTooManyPacksWithoutPull: a scan finds a mirror that was copied in and that nobody pushes
// to, and an incremental repack is handed on to the worker for those.
func TestTooManyPacksWithoutPull(t *testing.T) {
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	log := slog.New(slog.DiscardHandler)
	opts := &mirror.Options{Git: git.New(git.Options{}), MaxFetches: 1, FetchTimeout: time.Minute, ListTimeout: time.Minute}
	store := mirror.NewStore(t.Context(), mirror.Parts{Dir: dir, Log: log, MaxLists: 1}, opts)
	defer store.Wait() // the failure below starts a check
	name := named("m")
	if err := opts.Git.Repo(dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	packs := filepath.Join(dir.MirrorDir(name), "objects", "pack")
	for i := range tooManyPacks + 1 {
		for _, ext := range []string{".pack", ".idx"} {
			if err := os.WriteFile(filepath.Join(packs, fmt.Sprintf("pack-%d%s", i, ext)), nil, 0o444); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := NewKeeper(dir, log, &Options{Repack: true}).repacker
	if err := r.scan(dir, store); err != nil {
		t.Fatal(err)
	}
	found, j, wait := r.regular.next(time.Now())
	if found != name || wait > 0 {
		t.Fatalf("found is %v, in %s", found, wait)
	}
	r.repack(t.Context(), store, name, j)
	if found, _, wait = r.incremental.next(time.Now()); found != name || wait > 0 {
		t.Fatalf("for the incremental worker is %v, in %s", found, wait)
	}
	// The repack fails, since these are no packs, and is tried again after a pause.
	r.repackNow(t.Context(), store, name)
	if _, known := r.incremental.jobs[name]; !known || r.incremental.pauses[name] == nil {
		t.Errorf("after a failure: %v, %v", r.incremental.jobs, r.incremental.pauses)
	}
}

// named returns a name that must be valid.
func named(raw string) storage.Name {
	n, err := storage.ParseName(raw)
	if err != nil {
		panic(err)
	}
	return n
}
