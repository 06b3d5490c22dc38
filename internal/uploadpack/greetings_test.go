package uploadpack

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// TestGreetings: git is asked once for all, again after a failure, and again when another git may be there,
// also if that comes while it is asked.
func TestGreetings(t *testing.T) {
	g := newGreetings()
	asked := 0 // guarded by the one place for those who ask
	get := func(during func() error) error {
		_, err := g.get(t.Context(), 2, 40, func(context.Context, int) ([]byte, error) {
			asked++
			return []byte("000eversion 2\n0000"), during()
		})
		return err
	}
	fine := func() error { return nil }
	broken := errors.New("broken")
	if err := get(func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("git fails: %v", err)
	}
	if err := get(func() error { g.forget(); return nil }); err != nil || asked != 2 {
		t.Errorf("after a failure: %v, asked %d times", err, asked)
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := get(fine); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if asked != 3 {
		t.Errorf("ten clients, of whom the first asks a new git: asked %d times", asked-2)
	}
	g.forget()
	if err := get(fine); err != nil || asked != 4 {
		t.Errorf("after forget: %v, asked %d times", err, asked)
	}
}
