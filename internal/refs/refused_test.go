package refs

import (
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git"
)

func TestLeaveOut(t *testing.T) {
	id := func(c string) string { return strings.Repeat(c, 40) }
	ref := func(name, c string) git.Ref { return git.Ref{Name: name, ID: id(c), Peeled: id(c)} }
	patterns := []Pattern{{"refs/heads/*"}}
	main := git.Head{Ref: "refs/heads/main", ID: id("a")}
	refused := map[string]string{id("e"): "evil"}
	for _, c := range []struct {
		what        string
		now, origin git.Listing
		left        []git.Ref
		head        git.Head
		out         []string
	}{
		{"nothing", git.Listing{}, git.Listing{Refs: []git.Ref{ref("refs/heads/main", "a")}, Head: main},
			[]git.Ref{ref("refs/heads/main", "a")}, main, nil},
		{"a new ref", git.Listing{}, git.Listing{Refs: []git.Ref{ref("refs/heads/evil", "e"), ref("refs/heads/main", "a")}, Head: main},
			[]git.Ref{ref("refs/heads/main", "a")}, main, []string{"refs/heads/evil"}},
		{"one that moves", git.Listing{Refs: []git.Ref{ref("refs/heads/x", "b")}}, git.Listing{Refs: []git.Ref{ref("refs/heads/x", "e")}},
			[]git.Ref{ref("refs/heads/x", "b")}, git.Head{}, []string{"refs/heads/x"}},
		{"one that is here", git.Listing{Refs: []git.Ref{ref("refs/heads/x", "e")}}, git.Listing{Refs: []git.Ref{ref("refs/heads/x", "e")}},
			[]git.Ref{ref("refs/heads/x", "e")}, git.Head{}, nil},
		{"one that nobody wants", git.Listing{}, git.Listing{Refs: []git.Ref{ref("refs/pull/1", "e")}},
			[]git.Ref{ref("refs/pull/1", "e")}, git.Head{}, nil},
		{"a HEAD", git.Listing{Head: main}, git.Listing{Head: git.Head{ID: id("e")}}, nil, git.Head{}, []string{"HEAD"}},
		{"a HEAD that moves", git.Listing{Head: git.Head{ID: id("b")}}, git.Listing{Head: git.Head{ID: id("e")}}, nil, git.Head{ID: id("b")}, []string{"HEAD"}},
	} {
		left, out := LeaveOut(c.now, c.origin, patterns, refused)
		var names []string
		for _, r := range out {
			if names = append(names, r.Name); r.Why != "evil" || r.ID != id("e") {
				t.Errorf("%s: %+v", c.what, r)
			}
		}
		if !slices.Equal(left.Refs, c.left) || left.Head != c.head || !slices.Equal(names, c.out) {
			t.Errorf("%s: left %+v, out %q", c.what, left, names)
		}
	}
}
