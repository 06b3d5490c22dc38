package download

import (
	"reflect"
	"testing"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
	"github.com/reconquest/sould/internal/mirror"
)

func TestBundled(t *testing.T) {
	all := gittest.Listing("HEAD=main", "heads/main=a", "heads/dev=b", "tags/v1=c")
	for ref, want := range map[string]git.Listing{
		"":             all,
		"dev":          {Refs: []git.Ref{{Name: "refs/heads/dev", ID: gittest.ID("b"), Peeled: gittest.ID("b")}}, Head: git.Head{Ref: "refs/heads/dev", ID: gittest.ID("d")}},
		"refs/tags/v1": {Refs: []git.Ref{{Name: "refs/tags/v1", ID: gittest.ID("c"), Peeled: gittest.ID("c")}}, Head: git.Head{ID: gittest.ID("d")}},
	} {
		got, err := bundled(archive.Revision{Snapshot: &mirror.Snapshot{Listing: all}, Commit: gittest.ID("d")}, ref)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ref %q: %+v, %v; want %+v", ref, got, err, want)
		}
	}
	for _, c := range []struct {
		ref     string
		shallow bool
		fits    func(error) bool
	}{
		{"", true, kind(Shallow)},
		{gittest.ID("a"), false, kind(NotARef)},
		{"none", false, is(mirror.ErrUnknownRef)},
	} {
		if _, err := bundled(archive.Revision{Snapshot: &mirror.Snapshot{Listing: all, Shallow: c.shallow}}, c.ref); !c.fits(err) {
			t.Errorf("ref %q, shallow %v: %v", c.ref, c.shallow, err)
		}
	}
}
