package main

import (
	"errors"
	"testing"

	"github.com/reconquest/sould/internal/git"
)

// TestRemainsPlan: nothing is built in the place of a mirror that would be refused if it
// were not damaged, or of which nobody knows what it had.
func TestRemainsPlan(t *testing.T) {
	full, empty, others := listing("heads/a=a", "heads/b=b"), git.Listing{}, listing("notes/x=a")
	for _, c := range []struct {
		what        string
		old         *remains
		origin      git.Listing
		accept      acceptance
		refused     bool
		have, edits int
	}{
		{"no old mirror", nil, full, "", false, 0, 2},
		{"no old mirror, an empty origin", nil, empty, "", false, 0, 0},
		{"all is known", &remains{content: full}, listing("heads/a=b"), "", false, 0, 2},
		{"all is known, an empty origin", &remains{content: full}, empty, "", true, 2, 0},
		{"all is known, and was empty", &remains{}, empty, "", false, 0, 0},
		{"some is known, an empty origin", &remains{content: full, unsure: true}, empty, "", true, 2, 0},
		{"nothing is known", &remains{unsure: true}, full, "", false, 0, 2},
		{"nothing is known, an empty origin", &remains{unsure: true}, empty, "", true, 0, 0},
		{"nothing of it is known, nothing of it at the origin", &remains{content: others, unsure: true}, others, "", true, 0, 0},
		{"nothing is known, an empty origin, accepted", &remains{unsure: true}, empty, acceptAll, false, 0, 0},
	} {
		p, err := c.old.plan(c.origin, usualRefs, c.accept)
		var r *refusal
		if errors.As(err, &r) != c.refused || err != nil && !c.refused {
			t.Errorf("%s: %v", c.what, err)
		} else if c.refused && (r.have != c.have || !r.empty) {
			t.Errorf("%s: refused with %+v", c.what, r)
		}
		if p.changed() != c.edits {
			t.Errorf("%s: %d changes, not %d", c.what, p.changed(), c.edits)
		}
	}
}
