package archive

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git"
)

// FuzzParseRequest: no word of a client leaves the archive or becomes an option.
func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		"/a/b?ref=main&format=tar.gz", "/%2e%2e/x", "/m?path=a/../b", "/m?prefix=x/&path=-x", "/m?ref=--output=x", "/m?ref=a&ref=b",
		"/m?contains=" + strings.Repeat("A", 40), "/m?ref=" + strings.Repeat("0", 64), "/m?%zz", "/m?path=b/c&path=b&path=a", "/m?path=a&path=/b", "/m?path=%00", "/m;x?a;b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			return
		}
		req, err := ParseRequest(u)
		if err != nil {
			return
		}
		for _, path := range append(req.Paths, req.Name.Path(), strings.TrimSuffix(req.Want.Prefix, "/")) {
			if path != "" && !filepath.IsLocal(path) || strings.Contains(path, "\x00") {
				t.Errorf("%q leads to %q", raw, path)
			}
		}
		for _, word := range []string{req.Name.Path(), req.Want.Prefix} { // a path may be any name in a tree
			if strings.HasPrefix(word, "-") || strings.Contains(word, "\n") {
				t.Errorf("%q becomes %q", raw, word)
			}
		}
		if strings.HasPrefix(req.Want.Ref, "-") || req.Want.Format == nil || req.Contains != "" && !git.IsID(req.Contains) {
			t.Errorf("%q became %+v", raw, req)
		}
	})
}
