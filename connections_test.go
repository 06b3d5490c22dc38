package main

import (
	"context"
	"net"
	"net/http"
	"testing"
)

func TestConnectionsMakeRoom(t *testing.T) {
	cs := newConnections()
	cs.most, cs.answers = 3, 2
	var ours, theirs []net.Conn
	var contexts []context.Context
	come := func() {
		a, b := net.Pipe()
		ours, theirs = append(ours, a), append(theirs, b)
		contexts = append(contexts, cs.context(context.Background(), a))
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
	busy := func(i int) {
		t.Helper()
		if err := cs.busy(contexts[i], false); err != nil {
			t.Errorf("%d is refused: %v", i, err)
		}
	}
	health := func(i int) {
		t.Helper()
		if err := cs.busy(contexts[i], true); err != nil {
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
	cs.changed(ours[0], http.StateIdle)
	come()
	expect("also before those that came earlier and were answered", 1, 2)
	busy(4)
	if err := cs.busy(contexts[0], false); err == nil {
		t.Error("the last connection is not for the health alone")
	}
	health(0)
	come()
	expect("where all are being answered, the newcomer goes", 1, 2, 5)
	cs.changed(ours[2], http.StateClosed) // as net/http tells of those that we have closed
	cs.changed(ours[0], http.StateClosed)
	come()
	if n := cs.answering.Load(); len(cs.open) != 3 || n != 2 {
		t.Errorf("%d are open, of which %d are being answered", len(cs.open), n)
	}
	_ = cs.busy(context.Background(), false) // of no connection
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

func TestBoundsOfOtherServers(t *testing.T) {
	for _, c := range []struct {
		descriptors uint64
		servers     int
		want        int
	}{{256, 0, 32}, {256, 2, 16}, {256, 100, 4}, {1 << 20, 1, mostToOthers}, {1 << 20, 4, mostToOthers / 4}, {0, 0, 4}} {
		if got := othersBound(c.descriptors, c.servers); got != c.want {
			t.Errorf("%d descriptors, %d servers: %d connections to each", c.descriptors, c.servers, got)
		}
	}
	for descriptors, want := range map[uint64]int{0: 2, 256: 8, 1024: 32, 1 << 20: mostLists} {
		if got := listBound(descriptors); got != want {
			t.Errorf("%d descriptors: %d lists", descriptors, got)
		}
	}
}

func TestPostingBound(t *testing.T) {
	for slaves, want := range map[int]int64{0: maxPostings, 5: maxPostings, 31: 1024, 1000: 32, 100_000: leastPostings} {
		if got := postingBound(slaves); got != want {
			t.Errorf("%d slaves: %d at once", slaves, got)
		}
	}
}
