package download

import "testing"

func TestCacheControl(t *testing.T) {
	for _, c := range []struct {
		byID, public bool
		want         string
	}{
		{true, true, "public, max-age=31536000, immutable"},
		{true, false, "private, max-age=31536000, immutable"},
		{false, true, "no-cache"},
		{false, false, "no-cache"},
	} {
		if got := cacheControl(c.byID, c.public); len(got) != 1 || got[0] != c.want {
			t.Errorf("by id %v, public %v: %q, want %q", c.byID, c.public, got, c.want)
		}
	}
}
