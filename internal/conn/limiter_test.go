package conn

import (
	"context"
	"net"
	"net/http"
	"testing"
)

func TestConnectionsMakeRoom(t *testing.T) {
	l := NewLimiter(1 << 20)
	l.maxOpen, l.maxAnswering = 3, 2
	var ours, theirs []net.Conn
	var contexts []context.Context
	come := func() {
		a, b := net.Pipe()
		ours, theirs = append(ours, a), append(theirs, b)
		contexts = append(contexts, l.ConnContext(context.Background(), a))
		l.ConnState(a, http.StateNew)
	}
	closed := func(i int) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, open := l.open[ours[i]]
		return !open
	}
	expect := func(what string, gone ...int) {
		t.Helper()
		want := make(map[int]bool)
		for _, i := range gone {
			want[i] = true
			if _, err := theirs[i].Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: %d is still open", what, i)
			}
		}
		for i := range ours {
			if closed(i) != want[i] {
				t.Errorf("%s: closed is %d: %v", what, i, closed(i))
			}
		}
	}
	busy := func(i int) {
		t.Helper()
		if err := l.Answer(contexts[i], false); err != nil {
			t.Errorf("%d is refused: %v", i, err)
		}
	}
	health := func(i int) {
		t.Helper()
		if err := l.Answer(contexts[i], true); err != nil {
			t.Errorf("the health is refused: %v", err)
		}
	}
	come()
	come()
	come()
	busy(0)
	expect("three fit")
	come()
	expect("the one that waits longest goes", 1)
	busy(3)
	l.ConnState(ours[0], http.StateIdle)
	come()
	expect("also before those that came earlier and were answered", 1, 2)
	busy(4)
	if err := l.Answer(contexts[0], false); err == nil {
		t.Error("the last connection is not for the health alone")
	}
	health(0)
	come()
	expect("where all are being answered, the newcomer goes", 1, 2, 5)
	l.ConnState(ours[2], http.StateClosed) // as net/http does for connections that the limiter has closed
	l.ConnState(ours[0], http.StateClosed)
	come()
	if n := l.answering.Load(); len(l.open) != 3 || n != 2 {
		t.Errorf("%d are open, of which %d are being answered", len(l.open), n)
	}
	_ = l.Answer(context.Background(), false) // a context without a connection is no error
}
