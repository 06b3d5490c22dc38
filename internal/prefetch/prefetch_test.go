package prefetch

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func value(v string) func() (string, bool) { return func() (string, bool) { return v, true } }

// all takes everything of an owner.
func all(m *Memory[string, string], owner string) []string {
	taken := m.Take(owner, func(string, string) bool { return true })
	slices.Sort(taken)
	return taken
}

func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory[string, string](3, 2)
		for _, key := range []string{"a", "b", "c", "a", "d"} { // b is the oldest then
			m.Asked("x", key, value("of "+key))
			time.Sleep(time.Hour)
		}
		m.Asked("x", "none", func() (string, bool) { return "", false })
		if got := m.Take("x", func(key, _ string) bool { return key == "c" }); !slices.Equal(got, []string{"of c"}) {
			t.Errorf("taken: %q", got)
		}
		if got := all(m, "x"); !slices.Equal(got, []string{"of a", "of d"}) {
			t.Errorf("the rest: %q", got)
		}
		if got := all(m, "x"); got != nil || len(m.by) != 0 {
			t.Errorf("twice: %q", got)
		}

		m.Asked("x", "old", value("old"))
		m.Asked("x", "again", value("again"))
		time.Sleep(maxAge / 2)
		m.Asked("x", "again", func() (string, bool) { t.Error("it is known"); return "", false })
		time.Sleep(maxAge / 2)
		if got := all(m, "x"); !slices.Equal(got, []string{"again"}) {
			t.Errorf("after a day: %q", got)
		}

		for i := range 3 { // owners
			m.Asked(strconv.Itoa(i), "a", value("a"))
		}
		if got := all(m, "2"); len(got) != 1 || len(m.by) != 0 {
			t.Errorf("of the third owner: %q, others: %d", got, len(m.by))
		}
	})
}

// TestQueue does the jobs in their order, as many as it holds, and ends with its context.
func TestQueue(t *testing.T) {
	q := NewQueue[int]()
	for i := range maxJobs + 10 {
		q.Add(i)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done []int
	q.Run(ctx, func(_ context.Context, job int) {
		if done = append(done, job); job == maxJobs-1 {
			q.Add(-1) // one that comes meanwhile
		}
		if job == -1 {
			cancel()
		}
	})
	if len(done) != maxJobs+1 || done[0] != 0 || done[maxJobs] != -1 || !slices.IsSorted(done[:maxJobs]) {
		t.Errorf("%d jobs were done: %v…", len(done), done[:5])
	}
}
