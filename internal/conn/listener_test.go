package conn

import (
	"testing"
)

func TestSamePort(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:80", ":80", true}, {"127.0.0.1:80", "127.0.0.2:http", true}, {"h:80", "h:81", false},
		{"127.0.0.1:0", ":0", false}, {"x", ":80", false},
	} {
		if got := samePort(c.a, c.b); got != c.want {
			t.Errorf("samePort(%s, %s) = %v", c.a, c.b, got)
		}
	}
}
