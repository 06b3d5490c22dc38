package download

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/reconquest/sould/internal/archive"
)

func TestNeedsWhole(t *testing.T) {
	for _, c := range []struct {
		minor      int    // of HTTP/1.x
		subst      string // of the archive
		key, value string
		want       bool
	}{
		{1, "", "Accept", "*/*", false},
		{1, "", "Range", "bytes=0-9", true},
		{1, "f", "Range", "bytes=0-9", false}, // it gets the whole
		{1, "", "Want-Repr-Digest", "sha-256=1", true},
		{1, "", "Want-Repr-Digest", "sha-256=0", false},
		{0, "", "Accept", "*/*", true},
		{0, "f", "Range", "bytes=0-9", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/m", nil)
		r.ProtoMinor = c.minor
		r.Header.Set(c.key, c.value)
		if got := needsWhole(r, archive.Archive{Subst: c.subst}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
