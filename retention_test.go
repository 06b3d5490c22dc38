package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/tests/origin"
)

// TestInDoubtItIsKept asks git whether anything is lost when a branch moves.
func TestInDoubtItIsKept(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r"))
	first := r.Commit("main", map[string]string{"f": "1"})
	second := r.Commit("main", map[string]string{"f": "2"})
	other := r.Commit("other", map[string]string{"f": "3"})
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		what, dir, from, to string
		limit               time.Duration
		want                bool
	}{
		{"it has moved on", r.Dir, first, second, time.Minute, false},
		{"it was set back", r.Dir, second, first, time.Minute, true},
		{"it was replaced", r.Dir, second, other, time.Minute, true},
		{"git fails", none, first, second, time.Minute, true},
		{"there is no time to find out", r.Dir, first, second, time.Nanosecond, true},
	} {
		branch := func(id string) []git.Ref { return []git.Ref{{Name: "refs/heads/main", ID: id, Peeled: id}} }
		set := &settings{Config: Config{Keep: time.Hour, FetchTimeout: c.limit}, git: git.New(git.Options{})}
		m := &Mirror{}
		m.show(&Snapshot{Listing: git.Listing{Refs: branch(c.from)}})
		own, _, err := m.kept(t.Context(), set, set.git.Repo(c.dir), refs.Plan{Write: branch(c.to)})
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		kept := refs.RetainedAmong(own)
		if got := len(kept) == 1 && kept[0].Ref == "refs/heads/main" && kept[0].ID == c.from; got != c.want || len(kept) > 1 {
			t.Errorf("%s: kept are %v", c.what, kept)
		}
	}
}

func TestKeepsTooLong(t *testing.T) {
	at := func(all ...int64) *Snapshot {
		s := &Snapshot{}
		for _, seconds := range all {
			s.Kept = append(s.Kept, refs.Retained{At: time.Unix(seconds, 0)})
		}
		return s
	}
	for _, c := range []struct {
		snap *Snapshot
		keep time.Duration
		want bool
	}{
		{nil, time.Hour, false},
		{at(), time.Hour, false},
		{at(), 0, false},
		{at(91, 92), 10 * time.Second, false},
		{at(90, 92), 10 * time.Second, true},
		{at(99), 0, true},
	} {
		if got := c.snap.keepsTooLong(c.keep, time.Unix(100, 0)); got != c.want {
			t.Errorf("%+v for %s: %v", c.snap, c.keep, got)
		}
	}
}
