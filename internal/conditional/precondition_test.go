package conditional

import (
	"net/http"
	"testing"
)

func TestPrecondition(t *testing.T) {
	const strong, weak = `"abc"`, `W/"abc"`
	for _, c := range []struct {
		name, value, etag string
		want              int
	}{
		{"If-None-Match", `"abc"`, strong, 304}, {"If-None-Match", `W/"abc"`, strong, 304}, {"If-None-Match", `"x", "abc"`, strong, 304},
		{"If-None-Match", "*", strong, 304}, {"If-None-Match", `"x"`, strong, 0}, {"If-None-Match", `"abc"`, weak, 304},
		{"If-None-Match", `abc`, strong, 0}, {"If-None-Match", ``, strong, 0},
		{"If-Match", `"abc"`, strong, 0}, {"If-Match", `"x"`, strong, 412}, {"If-Match", "*", strong, 0}, {"If-Match", `W/"abc"`, weak, 412},
		{"If-Range", `"abc"`, strong, 0},
	} {
		if got := Precondition(http.Header{http.CanonicalHeaderKey(c.name): {c.value}}, c.etag); got != c.want {
			t.Errorf("%s: %s for %s: %d, want %d", c.name, c.value, c.etag, got, c.want)
		}
	}
	if got := Precondition(http.Header{"If-None-Match": {`"x"`, `"abc"`}}, strong); got != 304 {
		t.Errorf("in a second line: %d", got)
	}
}

func TestWantsFresh(t *testing.T) {
	for value, want := range map[string]bool{"no-cache": true, "max-age=0, No-Cache": true, "no-cachex": false, "": false, "no-store": false} {
		if got := WantsFresh(http.Header{"Cache-Control": {value}}); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}
