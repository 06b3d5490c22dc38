package mirror

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/tests/origin"
)

// TestLossesOfMovedBranch: a branch's old commit is retained unless git knows that the new one
// contains it.
func TestLossesOfMovedBranch(t *testing.T) {
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
		{"moved forward", r.Dir, first, second, time.Minute, false},
		{"set back", r.Dir, second, first, time.Minute, true},
		{"replaced", r.Dir, second, other, time.Minute, true},
		{"git fails", none, first, second, time.Minute, true},
		{"git is too slow", r.Dir, first, second, time.Nanosecond, true},
	} {
		branch := func(id string) []git.Ref { return []git.Ref{{Name: "refs/heads/main", ID: id, Peeled: id}} }
		m := &Mirror{store: &Store{}, dir: c.dir}
		m.setSnapshot(&Snapshot{Listing: git.Listing{Refs: branch(c.from)}})
		h := m.hold(&Options{Keep: time.Hour, FetchTimeout: c.limit, Git: git.New(git.Options{})}, nil)
		lost, _, err := h.losses(t.Context(), refs.Plan{Write: branch(c.to)})
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		retained := refs.RetainedAmong(h.retain(lost))
		if got := len(retained) == 1 && retained[0].Ref == "refs/heads/main" && retained[0].ID == c.from; got != c.want || len(retained) > 1 {
			t.Errorf("%s: retained are %v", c.what, retained)
		}
	}
}

func TestHasExpired(t *testing.T) {
	at := func(all ...int64) *Snapshot {
		s := &Snapshot{}
		for _, seconds := range all {
			s.Retained = append(s.Retained, refs.Retained{At: time.Unix(seconds, 0)})
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
		if got := c.snap.hasExpired(c.keep, time.Unix(100, 0)); got != c.want {
			t.Errorf("%+v for %s: %v", c.snap, c.keep, got)
		}
	}
}
