package conditional

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestByteRanges(t *testing.T) {
	const none, never = "", unsatisfiable
	for value, want := range map[string]string{
		"bytes=0-9": "bytes=0-9", "Bytes=0-9": "bytes=0-9", "BYTES=5-": "bytes=5-", "bytes=-10": "bytes=-10", "bytes=007-8": "bytes=7-8",
		"bytes= 0-0 ,\t5-6,,": "bytes=0-0,5-6",
		// Other units, and none.
		"items=0-1": none, "bytes": none, "": none, "0-9": none, "bytes =0-9": none, "x-bytes=0-9": none,
		// Parts that no content has.
		"bytes=-0": never, "bytes=-000,-0": never, "bytes=-0,3-4": "bytes=3-4",
		"bytes=99999999999999999999-": "bytes=9223372036854775807-",
		// Numbers that are too large.
		"bytes=0-99999999999999999999": "bytes=0-9223372036854775807", "bytes=-99999999999999999999": "bytes=-9223372036854775807",
		// Invalid ranges.
		"bytes=": never, "bytes=,": never, "bytes=x": never, "bytes=-": never, "bytes=9-1": never, "bytes=0-1,x": never, "bytes=+1-2": never,
		"bytes=1-+2": never, "bytes=--1": never, "bytes=1 - 2": never, "bytes=0x1-": never, "bytes=1-2-3": never, "bytes=1": never,
	} {
		if got := byteRanges([]string{value}); got != want {
			t.Errorf("%q became %q, want %q", value, got, want)
		}
	}
	if got := byteRanges([]string{"bytes=0-1", "bytes=3-4"}); got != none {
		t.Errorf("two lines became %q", got)
	}
}

func TestWithRange(t *testing.T) {
	for method, want := range map[string]string{http.MethodGet: "bytes=0-9", http.MethodHead: ""} {
		r := httptest.NewRequest(method, "/m", nil)
		if WithRange(r) != r {
			t.Errorf("%s: a request without a Range is copied", method)
		}
		r.Header.Set("Range", "Bytes=0-9")
		if got := WithRange(r).Header.Get("Range"); got != want || r.Header.Get("Range") != "Bytes=0-9" {
			t.Errorf("%s: %q, want %q; the request itself has %q", method, got, want, r.Header.Get("Range"))
		}
	}
}
