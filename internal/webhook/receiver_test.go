package webhook

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// gears are the name of a mirror, and its origin.
func gears(t *testing.T) (storage.Name, origin.URL) {
	t.Helper()
	name, err := storage.ParseName("acme/gears")
	if err != nil {
		t.Fatal(err)
	}
	from, err := origin.Parse("https://git.example/acme/gears", false)
	if err != nil {
		t.Fatal(err)
	}
	return name, from
}

// newTestReceiver returns a receiver of an empty store, which looks at its directory when watch is called.
func newTestReceiver(t *testing.T, begin func(mirror.Request) error) (r *Receiver, watch func()) {
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	store := mirror.NewStore(life, mirror.Parts{Dir: dir, Log: log, MaxLists: 1}, &mirror.Options{Git: git.New(git.Options{Leash: dir.Leash})})
	var watching sync.WaitGroup
	t.Cleanup(func() {
		end()
		watching.Wait()
		store.Wait()
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	return NewReceiver(Parts{Life: life, Store: store, Log: log, Begin: begin}), func() { watching.Go(store.Watch) }
}

// TestReceiveOnce: a delivery that comes many times at once begins its work once, one that finds no room is
// forgotten, so that it is carried out when it comes again, and all of them are counted.
func TestReceiveOnce(t *testing.T) {
	var mu sync.Mutex // guards begun
	begun, busy := 0, true
	r, watch := newTestReceiver(t, func(req mirror.Request) error {
		mu.Lock()
		defer mu.Unlock()
		if busy {
			return limiter.ErrBusy
		}
		begun++
		return nil
	})
	watch()
	name, from := gears(t)
	namer := func(origin.Place) (storage.Name, origin.URL, bool) { return name, from, true }
	hook := Hook{Name: "h", Create: true}
	push := func() (Delivery, error) {
		return Delivery{Event: Event{Effect: Changed, Name: "push", At: []origin.Place{from.Place()}}, Key: "1"}, nil
	}
	if _, err := r.Receive(t.Context(), hook, push, namer); !errors.Is(err, limiter.ErrBusy) {
		t.Fatalf("without room: %v", err)
	}
	mu.Lock()
	busy = false
	mu.Unlock()
	const copies = 8
	var all sync.WaitGroup
	for range copies {
		all.Go(func() {
			answer, err := r.Receive(t.Context(), hook, push, namer)
			if err != nil || answer.begun() != "make acme/gears" {
				t.Errorf("%v: %+v", err, answer)
			}
		})
	}
	all.Wait()
	r.Wait()
	mu.Lock()
	defer mu.Unlock()
	if begun != 1 {
		t.Errorf("the work has begun %d times", begun)
	}
	hook.Create = false
	other := func() (Delivery, error) { d, err := push(); d.Key = "2"; return d, err }
	if _, err := r.Receive(t.Context(), hook, other, namer); !errors.Is(err, ErrNoMirror) {
		t.Errorf("a hook that creates nothing: %v", err)
	}
	want := map[Count]uint64{{"h", Failed}: 1, {"h", Accepted}: 1, {"h", Repeated}: copies - 1, {"h", Unknown}: 1}
	got := r.Counts.Stats()
	for of, n := range want {
		if got[of] != n {
			t.Errorf("%v: %d, want %d", of, got[of], n)
		}
	}
}

// TestReceiveAfterAPanic: a delivery whose work has broken off holds up no copy of it, and is carried out when it
// comes again.
func TestReceiveAfterAPanic(t *testing.T) {
	begun := 0
	r, watch := newTestReceiver(t, func(mirror.Request) error {
		if begun++; begun == 1 {
			panic("a defect")
		}
		return nil
	})
	watch()
	name, from := gears(t)
	receive := func() error {
		d := Delivery{Event: Event{Effect: Changed, Name: "push", At: []origin.Place{from.Place()}}, Key: "1"}
		_, err := r.Receive(t.Context(), Hook{Name: "h", Create: true}, func() (Delivery, error) { return d, nil },
			func(origin.Place) (storage.Name, origin.URL, bool) { return name, from, true })
		return err
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the defect is hidden")
			}
		}()
		_ = receive()
	}()
	if err := receive(); err != nil || begun != 2 {
		t.Errorf("%v; begun %d times", err, begun)
	}
}

// TestReceiveAwaitsTheStore: what is about mirrors waits until these are known, for no longer than its
// client does, and the work of a ping begins at once.
func TestReceiveAwaitsTheStore(t *testing.T) {
	r, _ := newTestReceiver(t, nil) // nobody looks at the directory
	ctx, end := context.WithCancel(t.Context())
	end()
	of := func(effect Effect) func() (Delivery, error) {
		return func() (Delivery, error) { return Delivery{Event: Event{Effect: effect}}, nil }
	}
	if _, err := r.Receive(ctx, Hook{Name: "h"}, of(Changed), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a push: %v", err)
	}
	if answer, err := r.Receive(ctx, Hook{Name: "h"}, of(Ping), nil); err != nil || answer.Status != 200 {
		t.Errorf("a ping: %v", err)
	}
}
