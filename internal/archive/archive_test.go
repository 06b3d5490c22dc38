package archive

import (
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git/gittest"
)

func TestETag(t *testing.T) {
	tags := make(map[string]Archive)
	for _, a := range []Archive{
		{Commit: gittest.ID("a"), Format: FindFormat("tar")}, {Commit: gittest.ID("b"), Format: FindFormat("tar")},
		{Commit: gittest.ID("a"), Format: FindFormat("zip")}, {Commit: gittest.ID("a"), Format: FindFormat("tar"), Paths: NewPaths([]string{"x"})},
		{Commit: gittest.ID("a"), Format: FindFormat("tar"), Prefix: "x/"}, {Commit: gittest.ID("a"), Format: FindFormat("tar"), Subst: "f"},
		{Commit: gittest.ID("a"), Format: FindFormat("tar"), Paths: NewPaths([]string{"x"}), Prefix: "y/"},
		{Commit: gittest.ID("a"), Format: FindFormat("tar"), Paths: NewPaths([]string{"x", "y"}), Prefix: "z/"},
		{Commit: gittest.ID("a"), Format: FindFormat("tar"), Paths: NewPaths([]string{"x", "y", "z"})},
	} {
		tag := a.ETag()
		if other, ok := tags[tag]; ok {
			t.Errorf("%+v and %+v have one ETag", a, other)
		}
		tags[tag] = a
		if strings.HasPrefix(tag, "W/") != (a.Subst != "") || tag != a.ETag() {
			t.Errorf("%+v: %s", a, tag)
		}
	}
}

// TestETagsArePinned: clients have those of archives with one path or none, and so have caches and
// the other servers of a cluster.
func TestETagsArePinned(t *testing.T) {
	one := NewPaths([]string{"dir/file"})
	for want, a := range map[string]Archive{
		`"` + gittest.ID("a") + `.tar-2"`:                                    {Commit: gittest.ID("a"), Format: Tar},
		`"` + gittest.ID("a") + `.tar-2-50e2e4703db4871e9508aea54ba184d0"`:   {Commit: gittest.ID("a"), Format: Tar, Paths: one},
		`"` + gittest.ID("a") + `.tar-2-09947370dc061157aab8ac405473c84f"`:   {Commit: gittest.ID("a"), Format: Tar, Paths: one, Prefix: "p/"},
		`W/"` + gittest.ID("a") + `.tar-2-b7b699bf8769d84b86798d2ddb00ce16"`: {Commit: gittest.ID("a"), Format: Tar, Subst: "f"},
	} {
		if got := a.ETag(); got != want {
			t.Errorf("the ETag is %s, it was %s", got, want)
		}
	}
}
