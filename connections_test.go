package main

import (
	"context"
	"net"
	"net/http"
	"testing"
)

func TestConnectionsMakeRoom(t *testing.T) {
	cs := newConnections()
	cs.most = 3
	var ours, theirs []net.Conn
	come := func() {
		a, b := net.Pipe()
		ours, theirs = append(ours, a), append(theirs, b)
		cs.changed(a, http.StateNew)
	}
	closed := func(i int) bool {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		_, open := cs.open[ours[i]]
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
	busy := func(i int) { cs.busy(cs.context(context.Background(), ours[i])) }
	come()
	come()
	come()
	busy(0)
	expect("three fit")
	come()
	expect("the one that waits longest goes", 1)
	busy(3)
	cs.changed(ours[0], http.StateIdle)
	come()
	expect("also before those that came earlier and were answered", 1, 2)
	busy(4)
	busy(0)
	come()
	expect("where all are being answered, the newcomer goes", 1, 2, 5)
	cs.changed(ours[2], http.StateClosed) // as net/http tells of those that we have closed
	cs.changed(ours[0], http.StateClosed)
	come()
	if len(cs.open) != 3 || cs.waiting.Len() != 1 {
		t.Errorf("%d are open, of which %d wait", len(cs.open), cs.waiting.Len())
	}
	cs.busy(context.Background()) // of no connection
}

func TestConnectionBounds(t *testing.T) {
	for descriptors, want := range map[uint64][2]int{
		0: {1, 1}, 256: {96, 32}, 1024: {384, 128}, 1 << 20: {mostConnections, mostSending}, 1<<64 - 1: {mostConnections, mostSending},
	} {
		if c, s := connectionBounds(descriptors); c != want[0] || int(s) != want[1] {
			t.Errorf("%d descriptors: %d connections, %d archives", descriptors, c, s)
		}
	}
}
