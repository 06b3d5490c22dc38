package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git"
)

func TestLeaveOut(t *testing.T) {
	id := func(c string) string { return strings.Repeat(c, 40) }
	ref := func(name, c string) git.Ref { return git.Ref{Name: name, ID: id(c), Peeled: id(c)} }
	patterns := []RefPattern{{"refs/heads/*"}}
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
		left, out := leaveOut(c.now, c.origin, patterns, refused)
		var names []string
		for _, r := range out {
			if names = append(names, r.name); r.why != "evil" || r.id != id("e") {
				t.Errorf("%s: %+v", c.what, r)
			}
		}
		if !slices.Equal(left.Refs, c.left) || left.Head != c.head || !slices.Equal(names, c.out) {
			t.Errorf("%s: left %+v, out %q", c.what, left, names)
		}
	}
}

func TestRefusedRefsInWords(t *testing.T) {
	var refs []refusedRef
	for i := range 12 {
		refs = append(refs, refusedRef{fmt.Sprintf("refs/heads/b%02d", i), "", "object 1: hasDotgit: x"})
	}
	text := tree(newRefusedRefs(refs, 3))
	for _, want := range []string{
		"refused 12 of 15 refs, which stay as they were; all others are what the origin has\n├─ refs/heads/b00 leads to object 1: hasDotgit: x\n",
		"refs/heads/b09", "├─ and 2 more\n└─ the key fsck",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "b10") {
		t.Errorf("too many are named:\n%s", text)
	}
	if err := (brought{}).refusal(); err != nil {
		t.Error(err)
	}
	if text := newRefusedRefs(refs[:1], 0).Error(); !strings.HasPrefix(text, "refused 1 of 1 refs, which stay as they were: refs/heads/b00") {
		t.Error(text)
	}
}
