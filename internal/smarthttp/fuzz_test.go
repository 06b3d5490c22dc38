package smarthttp

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// FuzzCloneRequest: the path, the query and the version in a git client's request.
func FuzzCloneRequest(f *testing.F) {
	for _, s := range [][3]string{
		{"/a/b.git", "service=git-upload-pack", "version=2"}, {"/a.git/.git", "service=git-receive-pack", "version=1:version=0"}, {"/.git", "service=", "version=9"},
		{"/../x.git", "service=git-upload-pack&service=x", ":version=2:"}, {"/x.git.git", "%zz", "version=-1"}, {"/" + strings.Repeat("x", 198) + ".git", "", "Version=2"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, raw, query, protocol string) {
		names, err := Names(raw)
		if (err == nil) != (len(names) > 0) {
			t.Errorf("%q names %v, %v", raw, names, err)
		}
		for _, name := range names {
			again, err := storage.ParseName(name.String())
			if err != nil || again != name || !filepath.IsLocal(name.Path()) || strings.HasPrefix(name.String(), ".sould") {
				t.Errorf("%q names %q, %v", raw, name, err)
			}
		}
		if exact, err := storage.ParseName(raw); err == nil && !slices.Contains(names, exact) {
			t.Errorf("%q does not name %q", raw, exact)
		}
		if service, err := Service(query); err == nil && service != "git-upload-pack" && service != "git-receive-pack" {
			t.Errorf("%q asks for %q", query, service)
		}
		if version := Version([]string{protocol}); version < 0 || version > 2 {
			t.Errorf("%q is version %d", protocol, version)
		}
		body := &Request{small: []byte(raw), size: int64(len(raw))}
		_, ok := git.ParseLsRefs(body.Reader(), 40)
		if ok && !body.Is("ls-refs") {
			t.Errorf("%q asks for refs, and is not taken for it", raw)
		}
	})
}
