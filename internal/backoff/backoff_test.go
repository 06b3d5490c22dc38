package backoff

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	var b Backoff
	now := time.Now()
	if !b.Ready(now) {
		t.Error("the zero value waits")
	}
	for i, want := range []int{1, 2, 4, 8, 12, 12, 12} {
		b.Fail(now, time.Second)
		end := now.Add(time.Duration(want) * time.Second)
		if b.Ready(end.Add(-1)) || !b.Ready(end) {
			t.Errorf("after failure %d the wait is %s, want %ds", i+1, b.Wait, want)
		}
	}
	b.Reset()
	if !b.Ready(now) {
		t.Error("after a reset it waits")
	}
	b.Fail(now, 0)
	if !b.Ready(now) {
		t.Error("with no time to wait, it waits")
	}
}
