package main

import (
	"net/http"
	"testing"
)

func TestInsists(t *testing.T) {
	for what, c := range map[string]struct {
		header http.Header
		want   bool
	}{
		"nothing":              {http.Header{}, false},
		"every git":            {http.Header{"Pragma": {"no-cache"}, "Cache-Control": {"no-cache"}}, false},
		"git with a word more": {http.Header{"Pragma": {"no-cache"}, "Cache-Control": {"max-age=0, no-cache"}}, true},
		"another client":       {http.Header{"Cache-Control": {"no-cache"}}, true},
	} {
		if got := insists(c.header); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
