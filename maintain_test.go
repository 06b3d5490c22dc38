package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
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
		{git.Packs{Count: 1}, time.Time{}, long, false, choreFull},
		{git.Packs{}, time.Time{}, long, false, choreNone},
	} {
		if got := chooseChore(c.p, c.repacked, c.changed, now, c.owed); got != c.want {
			t.Errorf("%+v: %s, want %s", c, got, c.want)
		}
	}
	if got := chooseNow(git.Packs{Count: 1}, now); got != choreNone {
		t.Errorf("after a pull: %s", got)
	}
}

func TestTurnsAreLent(t *testing.T) {
	var all turns
	name := Name{"m"}
	work, end, err := all.lend(t.Context(), name)
	if err != nil || work.Err() != nil {
		t.Fatal(err, work.Err())
	}
	other, err := all.take(t.Context(), Name{"n"})
	if err != nil || work.Err() != nil {
		t.Fatal("another mirror's turn matters: ", err, work.Err())
	}
	other()
	took := make(chan func())
	go func() {
		back, err := all.take(context.Background(), name)
		if err != nil {
			t.Error(err)
		}
		took <- back
	}()
	<-work.Done()
	if !errors.Is(context.Cause(work), errGiveWay) {
		t.Errorf("the work ends because of %v", context.Cause(work))
	}
	select {
	case <-took:
		t.Fatal("two have the turn")
	default:
	}
	end()
	back := <-took

	// Who gets a turn for which others wait already has no time at all.
	waiting, stop := context.WithCancel(t.Context())
	stop()
	if _, _, err := all.lend(waiting, name); err == nil {
		t.Error("two have the turn")
	}
	lent := make(chan error)
	go func() {
		work, end, err := all.lend(context.Background(), name)
		if err != nil {
			t.Error(err)
			return
		}
		lent <- work.Err()
		end()
	}()
	select {
	case <-lent:
		t.Fatal("two have the turn")
	default:
	}
	back()
	if err := <-lent; err != nil {
		t.Errorf("nobody waits, and the work ends: %v", err)
	}
}

func TestChoresInLine(t *testing.T) {
	w := newMaintainer(nil, nil, nil)
	now := time.Now()
	a, b := Name{"a"}, Name{"b"}
	w.note(a, choreJob{at: now.Add(2 * time.Second), owed: true})
	w.note(b, choreJob{at: now.Add(time.Second)})
	if _, _, wait := w.next(now); wait != time.Second {
		t.Errorf("wait for %s", wait)
	}
	w.note(a, choreJob{at: now})
	w.postpone(b, now.Add(3*time.Second))
	if name, job, wait := w.next(now); name != a || !job.owed || wait > 0 {
		t.Errorf("%v %+v %s", name, job, wait)
	}
	if name, _, wait := w.next(now.Add(3 * time.Second)); name != b || wait > 0 {
		t.Errorf("%v %s", name, wait)
	}
	w.failed[a] = now
	w.note(a, choreJob{at: now})
	w.postpone(a, now)
	if len(w.jobs) != 0 {
		t.Errorf("%v", w.jobs)
	}
}
