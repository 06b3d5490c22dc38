package pack

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pktline"
	"github.com/reconquest/sould/internal/smarthttp"
)

// wanting is a clone that wants these ids, or with more lines something else.
func wanting(t *testing.T, ids []string, more ...string) smarthttp.Fetch {
	t.Helper()
	b := append(pktline.Append(nil, "command=fetch\n"), pktline.Delim...)
	for _, id := range ids {
		b = pktline.Append(b, "want ", id, "\n")
	}
	for _, line := range append(more, "done") {
		b = pktline.Append(b, line, "\n")
	}
	fetch, ok := smarthttp.NewRequest(append(b, pktline.Flush...)).Fetch(2)
	if !ok {
		t.Fatalf("%q is no request", b)
	}
	return fetch
}

// longID is an object id that ends with these digits.
func longID(digits string) string { return fmt.Sprintf("%040s", digits) }

// snapshot is one of these refs, "name=id" each, the first of which is the default branch.
func snapshot(refs ...string) *mirror.Snapshot {
	s := &mirror.Snapshot{}
	for i, ref := range refs {
		name, id, _ := strings.Cut(ref, "=")
		id = longID(id)
		if i == 0 {
			s.Head.ID = id
		}
		if name == git.HeadName {
			continue
		}
		if i == 0 {
			s.Head.Ref = name
		}
		s.Refs = append(s.Refs, git.Ref{Name: name, ID: id, Peeled: id})
	}
	slices.SortFunc(s.Refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func TestTemplates(t *testing.T) {
	before := snapshot("refs/heads/main=a", "refs/heads/dev=b", "refs/heads/same=a", "refs/notes/x=c", "refs/tags/v1=d")
	many := []string{"refs/heads/main=a"}
	for i := range maxNamed + 1 {
		many = append(many, fmt.Sprintf("refs/notes/%02d=%x", i, i))
	}
	for what, c := range map[string]struct {
		before, after *mirror.Snapshot
		wants         string // short ids
		more          []string
		want          string // what is wanted afterwards; empty for nothing
	}{
		"all":                {before, snapshot("refs/heads/main=e", "refs/heads/new=f", "refs/tags/v1=d", "refs/notes/x=1"), "a b d", nil, "d e f"},
		"the default branch": {before, snapshot("refs/heads/main=e", "refs/heads/same=a"), "a", nil, "e"},
		"a branch":           {before, snapshot("refs/heads/main=e", "refs/heads/dev=f"), "b", nil, "f"},
		"some":               {before, snapshot("refs/heads/main=e", "refs/heads/dev=f", "refs/notes/x=c"), "a b c", nil, "c e f"},
		"one that has gone":  {before, snapshot("refs/heads/main=e"), "b", nil, ""},
		"what no ref names":  {before, before, "a 9", nil, ""},
		"a fetch":            {before, before, "a", []string{"have " + longID("9")}, ""},
		"a deeper one":       {before, before, "a", []string{"shallow " + longID("9")}, ""},
		"a commit":           {snapshot("HEAD=a", "refs/heads/dev=b"), snapshot("HEAD=e", "refs/heads/dev=b"), "a", nil, "e"},
		"a branch now":       {snapshot("HEAD=a", "refs/heads/dev=b"), snapshot("refs/heads/dev=b"), "a", nil, ""},
		"too many":           {snapshot(many...), snapshot(many...), "0 1 2 3 4 5 6 7 8 9 a b c d e f 10", nil, ""},
		"nothing is left":    {before, snapshot(), "a b d", nil, ""},
	} {
		var ids, want []string
		for id := range strings.FieldsSeq(c.wants) {
			ids = append(ids, longID(id))
		}
		for id := range strings.FieldsSeq(c.want) {
			want = append(want, longID(id))
		}
		slices.Sort(want)
		var got []string
		if t, ok := newTemplate(c.before, wanting(t, ids, c.more...)); ok {
			got = t.wants(c.after)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: wants %v, should want %v", what, got, want)
		}
	}
}
