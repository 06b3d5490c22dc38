package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

func TestChooseChore(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	long, recent := now.Add(-fullEvery), now.Add(-time.Hour)
	const big = smallMirror + 1
	for _, c := range []struct {
		p                 git.Packs
		repacked, changed time.Time
		owed              bool
		want              chore
	}{
		{git.Packs{Count: 1}, recent, now, false, choreNone},
		{git.Packs{Count: tolerablePacks, Loose: tolerableLoose, Size: big}, recent, now, false, choreNone},
		{git.Packs{Count: tolerablePacks + 1}, recent, now, false, choreFull},
		{git.Packs{Count: tolerablePacks + 1, Size: big}, recent, now, false, choreRolling},
		{git.Packs{Count: tooManyPacks, Size: big}, recent, now, false, choreRolling},
		{git.Packs{Count: tooManyPacks + 1, Size: big}, recent, now, false, choreQuick},
		{git.Packs{Count: tooManyPacks + 1}, long, now, true, choreQuick},
		{git.Packs{Count: 3, Size: big}, recent, now, true, choreRolling},
		{git.Packs{Count: 3}, recent, now, true, choreFull},
		{git.Packs{Count: 1, Loose: tolerableLoose + 1, Size: big}, recent, recent, false, choreFull},
		{git.Packs{Count: 1}, long, recent, false, choreFull},
		{git.Packs{Count: 1}, long, long, false, choreNone},
		{git.Packs{Count: 1, Unreachable: 1}, long, long, false, choreFull},
		{git.Packs{Count: 1, Unreachable: 1}, recent, long, false, choreNone},
		{git.Packs{Count: 1}, time.Time{}, long, false, choreFull},
		{git.Packs{}, time.Time{}, long, false, choreNone},
		{git.Packs{Count: 1}, now.Add(time.Hour), long, false, choreFull},
	} {
		if got := chooseChore(c.p, c.repacked, c.changed, now, c.owed); got != c.want {
			t.Errorf("%+v: %s, want %s", c, got, c.want)
		}
	}
	if got := chooseNow(git.Packs{Count: 1}, now); got != choreNone {
		t.Errorf("after a pull: %s", got)
	}
}

func TestWorkBesideTurns(t *testing.T) {
	var all turns
	m, n := named("m"), named("n")
	take := func(name storage.Name) func() {
		t.Helper()
		end, err := all.take(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return end
	}
	end := take(m)
	all.clear(m) // there is nobody
	work, over := all.stepAside(t.Context(), m)
	waiting, stop := context.WithCancel(t.Context())
	stop()
	if _, err := all.take(waiting, m); err == nil {
		t.Fatal("two have the turn")
	}
	end()

	// Turns go on, of this mirror and of others, until one has something to write.
	for _, name := range []storage.Name{m, n, m} {
		take(name)()
	}
	other := take(n)
	all.clear(n)
	other()
	if work.Err() != nil {
		t.Fatal(context.Cause(work))
	}
	end = take(m)
	cleared := make(chan bool)
	go func() { all.clear(m); close(cleared) }()
	<-work.Done()
	if !errors.Is(context.Cause(work), errGiveWay) {
		t.Errorf("the work ends because of %v", context.Cause(work))
	}
	select {
	case <-cleared:
		t.Fatal("it is cleared before the work has ended")
	default:
	}
	over()
	<-cleared
	end()
	if len(all.busy) != 0 {
		t.Errorf("left over: %v", all.busy)
	}
}

func TestTurnsAreTried(t *testing.T) {
	var all turns
	name := named("m")
	end, free := all.try(name)
	if !free {
		t.Fatal("nobody has the turn, and it is not free")
	}
	if _, free := all.try(name); free {
		t.Error("two have the turn")
	}
	took := make(chan func())
	go func() {
		back, err := all.take(context.Background(), name)
		if err != nil {
			t.Error(err)
		}
		took <- back
	}()
	end()
	back := <-took
	if _, free := all.try(name); free {
		t.Error("two have the turn")
	}
	work, over := all.stepAside(t.Context(), name)
	back()
	if _, free := all.try(name); free || work.Err() != nil {
		t.Errorf("it is free: %v; who works beside it works on: %v", free, work.Err())
	}
	over()
	if len(all.busy) != 0 {
		t.Errorf("turns are left: %v", all.busy)
	}
}

func TestChoresInLine(t *testing.T) {
	c := newChores()
	now := time.Now()
	a, b := named("a"), named("b")
	c.note(a, choreJob{at: now.Add(2 * time.Second), owed: true})
	c.note(b, choreJob{at: now.Add(time.Second)})
	if _, _, wait := c.next(now); wait != time.Second {
		t.Errorf("wait for %s", wait)
	}
	c.note(a, choreJob{at: now})
	c.postpone(b, now.Add(3*time.Second))
	c.postpone(b, now) // not to an earlier time
	c.postpone(named("none"), now)
	if name, job, wait := c.next(now); name != a || !job.owed || wait > 0 {
		t.Errorf("%v %+v %s", name, job, wait)
	}
	if name, _, wait := c.next(now.Add(3 * time.Second)); name != b || wait > 0 {
		t.Errorf("%v %s", name, wait)
	}
	for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		c.pause(a, now, time.Minute)
		c.note(a, choreJob{at: now})
		if _, _, wait := c.next(now); wait != pause {
			t.Errorf("after a failure a pause of %s, want %s", wait, pause)
		}
	}
	c.done(a)
	c.note(a, choreJob{at: now})
	if name, _, wait := c.next(now); name != a || wait > 0 {
		t.Errorf("%v %s", name, wait)
	}
	for i := range maxChores + 10 {
		c.note(named(fmt.Sprint(i)), choreJob{at: now})
		c.pause(named(fmt.Sprint(i)), now, time.Minute)
	}
	if len(c.jobs) != maxChores || len(c.pauses) > maxChores {
		t.Errorf("%d jobs, %d pauses", len(c.jobs), len(c.pauses))
	}
}

// TestTooManyPacksWithoutAPull: a mirror that was copied in, and that nobody pushes to, is
// found by a look at all mirrors; what is for the quick worker is handed on to it.
func TestTooManyPacksWithoutAPull(t *testing.T) {
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	log := slog.New(slog.DiscardHandler)
	set := &settings{Config: Config{Maintenance: true}, git: git.New(git.Options{})}
	ms := NewMirrors(t.Context(), dir, nil, log)
	defer ms.Wait() // for the check that the failure below asks for
	name := named("m")
	if err := set.git.Repo(dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
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
	w := newMaintainer(ms, func() *settings { return set }, log)
	if err := w.scan(set); err != nil {
		t.Fatal(err)
	}
	found, job, wait := w.calm.next(time.Now())
	if found != name || wait > 0 {
		t.Fatalf("found is %v, in %s", found, wait)
	}
	w.work(t.Context(), name, job)
	if found, job, wait = w.quick.next(time.Now()); found != name || wait > 0 {
		t.Fatalf("for the quick worker is %v, in %s", found, wait)
	}
	// It fails, since these are no packs, and is tried again after a pause.
	w.workQuickly(t.Context(), name, job)
	if _, known := w.quick.jobs[name]; !known || w.quick.pauses[name] == nil {
		t.Errorf("after a failure: %v, %v", w.quick.jobs, w.quick.pauses)
	}
}
