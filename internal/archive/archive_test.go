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
		{Commit: gittest.ID("a"), Format: FindFormat("zip")}, {Commit: gittest.ID("a"), Format: FindFormat("tar"), Path: "x"},
		{Commit: gittest.ID("a"), Format: FindFormat("tar"), Prefix: "x/"}, {Commit: gittest.ID("a"), Format: FindFormat("tar"), Subst: "f"},
		{Commit: gittest.ID("a"), Format: FindFormat("tar"), Path: "x\x00", Prefix: ""},
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
