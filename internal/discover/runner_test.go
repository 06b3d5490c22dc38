package discover

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/reconquest/sould/internal/mirror"
)

// TestPlaces: an order whose slaves are not done holds a place, whichever options come meanwhile. One that has not
// begun holds none.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life, end := context.WithCancel(t.Context())
		busy := errors.New("busy")
		var begun atomic.Int32
		fails := true
		over := make(chan struct{})
		r := NewRunner(life, Parts{Begin: func(context.Context, mirror.Request) (<-chan struct{}, error) {
			if fails {
				return nil, busy
			}
			begun.Add(1)
			return over, nil
		}})
		r.Configure(&Options{Places: 2})
		for range 5 {
			if err := r.command(life, mirror.Request{}); err != busy {
				t.Fatal(err)
			}
		}
		fails = false
		orders := make(chan error, 5)
		for range 5 {
			go func() { orders <- r.command(life, mirror.Request{}) }()
		}
		synctest.Wait()
		if n := begun.Load(); n != 2 {
			t.Errorf("%d have begun, want 2", n)
		}
		r.Configure(&Options{Places: 3})
		synctest.Wait()
		if n := begun.Load(); n != 3 {
			t.Errorf("%d have begun, want 3", n)
		}
		over <- struct{}{} // one of them is over
		synctest.Wait()
		if n := begun.Load(); n != 4 {
			t.Errorf("%d have begun, want 4", n)
		}
		end()
		failed := 0
		for range 5 {
			if err := <-orders; err != nil {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("%d have failed, want 1", failed)
		}
		close(over)
		r.Wait()
	})
}
