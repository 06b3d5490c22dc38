package smarthttp

import (
	"net/http"
	"testing"
)

func TestWantsFresh(t *testing.T) {
	for what, c := range map[string]struct {
		header http.Header
		want   bool
	}{
		"nothing":              {http.Header{}, false},
		"every git":            {http.Header{"Pragma": {"no-cache"}, "Cache-Control": {"no-cache"}}, false},
		"git with a word more": {http.Header{"Pragma": {"no-cache"}, "Cache-Control": {"max-age=0, no-cache"}}, true},
		"another client":       {http.Header{"Cache-Control": {"no-cache"}}, true},
	} {
		if got := WantsFresh(c.header); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestIsPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/a/b/info/refs": true, "/a/git-upload-pack": true, "/a/git-receive-pack": true,
		"/a": false, "/a/info": false, "/a/info/refs/": false, "/": false,
	} {
		if got := IsPath(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
