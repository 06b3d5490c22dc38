package coalesce

import (
	"fmt"
	"testing"
	"time"
)

func TestRecent(t *testing.T) {
	var r Recent[int]
	now := time.Unix(1e9, 0)
	enter := func(id string, value int) (int, bool) { return r.Enter(id, now, func() int { return value }) }
	for _, c := range []struct {
		id          string
		value, want int
		again       bool
	}{{"a", 1, 1, false}, {"a", 2, 1, true}, {"b", 3, 3, false}, {"a", 4, 1, true}} {
		if got, again := enter(c.id, c.value); got != c.want || again != c.again {
			t.Errorf("%s: %d, %v", c.id, got, again)
		}
	}
	r.Leave("a")
	r.Leave("c")
	if got, again := enter("a", 5); got != 5 || again {
		t.Errorf("what was forgotten is %d, %v", got, again)
	}
	for i := range maxRecent {
		enter(fmt.Sprint(i), i)
	}
	if len(r.by) != maxRecent || len(r.queue) != maxRecent {
		t.Errorf("%d are remembered, %d in order", len(r.by), len(r.queue))
	}
	if _, again := enter("a", 6); again {
		t.Error("the oldest is remembered")
	}
	now = now.Add(recentTime)
	if _, again := enter("a", 7); again || len(r.by) != 1 || len(r.queue) != 1 {
		t.Errorf("after a while, %v, %d are remembered", again, len(r.by))
	}
}
