package refs

import (
	"errors"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
)

// TestRebuild: a rebuild is refused if the pull would be refused for an undamaged mirror, or if
// nobody knows which refs the mirror had.
func TestRebuild(t *testing.T) {
	full, empty, others := gittest.Listing("heads/a=a", "heads/b=b"), git.Listing{}, gittest.Listing("notes/x=a")
	for _, c := range []struct {
		what        string
		survivors   git.Listing
		all         bool
		origin      git.Listing
		accept      Acceptance
		refused     bool
		have, edits int
	}{
		{"no old mirror", git.Listing{}, true, full, "", false, 0, 2},
		{"no old mirror, an empty origin", git.Listing{}, true, empty, "", false, 0, 0},
		{"all is known", full, true, gittest.Listing("heads/a=b"), "", false, 0, 2},
		{"all is known, an empty origin", full, true, empty, "", true, 2, 0},
		{"all is known, and was empty", git.Listing{}, true, empty, "", false, 0, 0},
		{"some is known, an empty origin", full, false, empty, "", true, 2, 0},
		{"nothing is known", git.Listing{}, false, full, "", false, 0, 2},
		{"nothing is known, an empty origin", git.Listing{}, false, empty, "", true, 0, 0},
		{"nothing of it is known, nothing of it at the origin", others, false, others, "", true, 0, 0},
		{"nothing is known, an empty origin, accepted", git.Listing{}, false, empty, AcceptAll, false, 0, 0},
	} {
		p, err := Rebuild(c.survivors, c.all, c.origin, DefaultPatterns(), c.accept)
		var r *Refusal
		if errors.As(err, &r) != c.refused || err != nil && !c.refused {
			t.Errorf("%s: %v", c.what, err)
		} else if c.refused && (r.have != c.have || !r.empty) {
			t.Errorf("%s: refused with %+v", c.what, r)
		}
		if p.Changed() != c.edits {
			t.Errorf("%s: %d changes, not %d", c.what, p.Changed(), c.edits)
		}
	}
}
