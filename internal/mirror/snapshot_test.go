package mirror

import (
	"slices"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
)

func TestResolve(t *testing.T) {
	full := &Snapshot{Listing: gittest.Listing("heads/main=a", "heads/both=b", "tags/both=c", "tags/v1=d", "heads/heads/x=e", "pull/1=f", "HEAD=main")}
	full.Refs = append(full.Refs[:0:0], full.Refs...)
	full.Refs[len(full.Refs)-1].Peeled = gittest.ID("9") // tags/v1, annotated
	hex := gittest.Listing("heads/"+gittest.ID("7")+"=a", "HEAD=gone")
	for _, c := range []struct {
		snap          *Snapshot
		ref           string
		want, instead string
		err           error
	}{
		{full, "", gittest.ID("a"), "", nil},
		{full, "main", gittest.ID("a"), "", nil},
		{full, "both", gittest.ID("b"), "", nil},
		{full, "refs/tags/both", gittest.ID("c"), "", nil},
		{full, "v1", gittest.ID("9"), "", nil},
		{full, "refs/pull/1", gittest.ID("f"), "", nil},
		{full, "refs/heads/heads/x", gittest.ID("e"), "", nil},
		{full, "heads/x", gittest.ID("e"), "", nil},
		{full, gittest.ID("8"), gittest.ID("8"), "", nil},
		{full, "tags/v1", "", "", ErrUnknownRef},
		{full, "HEAD", "", "", ErrUnknownRef},
		{full, gittest.ID("8")[:12], "", "", ErrUnknownRef},
		{&Snapshot{Listing: hex}, gittest.ID("7"), gittest.ID("7"), gittest.ID("a"), nil},
		{&Snapshot{Listing: hex}, "", "", "", ErrNoDefault},
		{&Snapshot{}, "", "", "", ErrEmpty},
		{&Snapshot{}, "main", "", "", ErrEmpty},
		{&Snapshot{}, gittest.ID("8"), gittest.ID("8"), "", nil}, // the commit may be retained
		{&Snapshot{Listing: git.Listing{Head: git.Head{ID: gittest.ID("d")}}}, "", gittest.ID("d"), "", nil},
	} {
		got, instead, branch, err := c.snap.Resolve(c.ref)
		if got != c.want || instead != c.instead || err != c.err {
			t.Errorf("Resolve(%q) = %.8q, %.8q, %v", c.ref, got, instead, err)
		}
		isBranch := err == nil && !slices.Contains([]string{"refs/tags/both", "v1", "refs/pull/1", gittest.ID("8"), gittest.ID("7")}, c.ref)
		if branch != isBranch {
			t.Errorf("Resolve(%q): branch = %v", c.ref, branch)
		}
	}
}
