package keylock

import (
	"context"
	"errors"
	"testing"
)

func lock(t *testing.T, all *Locks[string], key string) *Lock[string] {
	t.Helper()
	l, err := all.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustBeEmpty(t *testing.T, all *Locks[string]) {
	t.Helper()
	if len(all.busy) != 0 {
		t.Errorf("left over: %v", all.busy)
	}
}

func TestOneHolder(t *testing.T) {
	var all Locks[string]
	l := lock(t, &all, "m")
	l.Preempt() // there is no background work
	gone, stop := context.WithCancelCause(t.Context())
	reason := errors.New("no patience")
	stop(reason)
	if _, err := all.Lock(gone, "m"); !errors.Is(err, reason) {
		t.Fatalf("two hold the lock, or the reason is another one: %v", err)
	}
	lock(t, &all, "n").Unlock()
	l.Unlock()
	mustBeEmpty(t, &all)
}

func TestBackground(t *testing.T) {
	var all Locks[string]
	work := lock(t, &all, "m").Downgrade(t.Context())

	// Others hold this lock and other locks, until one of them has to write.
	for _, key := range []string{"m", "n", "m"} {
		lock(t, &all, key).Unlock()
	}
	other := lock(t, &all, "n")
	other.Preempt()
	other.Unlock()
	if work.Context.Err() != nil {
		t.Fatal(context.Cause(work.Context))
	}
	l := lock(t, &all, "m")
	preempted := make(chan bool)
	go func() { l.Preempt(); close(preempted) }()
	<-work.Context.Done()
	if err := context.Cause(work.Context); !errors.Is(err, ErrPreempted) {
		t.Errorf("the work ends because of %v", err)
	}
	select {
	case <-preempted:
		t.Fatal("it counts as preempted before the work has ended")
	default:
	}
	work.Done()
	<-preempted
	l.Unlock()
	mustBeEmpty(t, &all)
}

func TestTryLock(t *testing.T) {
	var all Locks[string]
	l, ok := all.TryLock("m")
	if !ok {
		t.Fatal("nobody holds the lock, and it is not free")
	}
	if _, ok := all.TryLock("m"); ok {
		t.Error("two hold the lock")
	}
	locked := make(chan *Lock[string])
	go func() {
		l, err := all.Lock(context.Background(), "m")
		if err != nil {
			t.Error(err)
		}
		locked <- l
	}()
	l.Unlock()
	l = <-locked
	if _, ok := all.TryLock("m"); ok {
		t.Error("two hold the lock")
	}
	work := l.Downgrade(t.Context())
	if _, ok := all.TryLock("m"); ok || work.Context.Err() != nil {
		t.Errorf("it is free: %v; the work in the background: %v", ok, work.Context.Err())
	}
	work.Done()
	mustBeEmpty(t, &all)
}
