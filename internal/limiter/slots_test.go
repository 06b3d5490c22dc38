package limiter

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestSlots: of many who come at once as many are let in as there are slots, and those who were refused
// hold none.
func TestSlots(t *testing.T) {
	var slots Slots
	var in atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if slots.Take(7) {
				in.Add(1)
			}
		})
	}
	all.Wait()
	for slots.Take(7) { // who was refused may have stood in the way of another for a moment
		in.Add(1)
	}
	if in.Load() != 7 || slots.Taken() != 7 {
		t.Fatalf("%d were let in, and %d slots are taken", in.Load(), slots.Taken())
	}
	slots.Release()
	if slots.Taken() != 6 || !slots.Take(7) || slots.Take(7) {
		t.Error("a slot that is given back is not free for just one")
	}
}
