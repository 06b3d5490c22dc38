package conn

import (
	"testing"
)

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
		if got := ServerBound(c.descriptors, c.servers); got != c.want {
			t.Errorf("%d descriptors, %d servers: %d connections to each", c.descriptors, c.servers, got)
		}
	}
	for descriptors, want := range map[uint64]int{0: 2, 256: 8, 1024: 32, 1 << 20: mostLists} {
		if got := ListBound(descriptors); got != want {
			t.Errorf("%d descriptors: %d lists", descriptors, got)
		}
	}
}
