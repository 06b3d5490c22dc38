package conn

import "testing"

func TestIsForeign(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:1": false, ":1": false, "[::]:1": false, "localhost:1": false, "192.0.2.1:1": true, "[2001:db8::1]:1": true} {
		if got := IsForeign(address); got != want {
			t.Errorf("%s: foreign: %v", address, got)
		}
	}
}
