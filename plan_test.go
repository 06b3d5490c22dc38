package main

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git"
)

// id makes an object id of a letter.
func id(letter string) string { return strings.Repeat(letter, 40) }

// listing makes a listing of words such as "heads/main=a", and of "HEAD=main",
// "HEAD=a" (detached) or no HEAD.
func listing(words ...string) git.Listing {
	var l git.Listing
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		if name == "HEAD" {
			l.Head = git.Head{ID: id(value)}
			if len(value) > 1 {
				l.Head = git.Head{Ref: "refs/heads/" + value}
			}
			continue
		}
		l.Refs = append(l.Refs, git.Ref{Name: "refs/" + name, ID: id(value), Peeled: id(value)})
	}
	slices.SortFunc(l.Refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	if ref, ok := l.Find(l.Head.Ref); ok {
		l.Head.ID = ref.ID
	}
	return l
}

var usualRefs = []RefPattern{{"refs/heads/*"}, {"refs/tags/*"}}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name         string
		now, origin  git.Listing
		write, gone  string // of the update
		fetch        string
		head         string // in the update; "" if it is left alone
		after        string // refs
		defaultAfter string
	}{
		{
			name: "nothing new", now: listing("heads/main=a", "HEAD=main"), origin: listing("heads/main=a", "HEAD=main"),
			after: "heads/main=a", defaultAfter: "refs/heads/main",
		},
		{
			name: "a new commit", now: listing("heads/main=a", "HEAD=main"), origin: listing("heads/main=b", "HEAD=main"),
			write: "heads/main=b", fetch: "b", after: "heads/main=b", defaultAfter: "refs/heads/main",
		},
		{
			name: "the first clone", origin: listing("heads/main=a", "tags/v1=b", "HEAD=main"),
			write: "heads/main=a tags/v1=b", fetch: "a b", head: "refs/heads/main",
			after: "heads/main=a tags/v1=b", defaultAfter: "refs/heads/main",
		},
		{
			name: "a new branch at a known commit", now: listing("heads/main=a", "HEAD=main"),
			origin: listing("heads/main=a", "heads/x=a", "HEAD=main"),
			write:  "heads/x=a", after: "heads/main=a heads/x=a", defaultAfter: "refs/heads/main",
		},
		{
			name: "a renamed default branch", now: listing("heads/master=a", "HEAD=master"),
			origin: listing("heads/main=a", "HEAD=main"),
			write:  "heads/main=a", gone: "heads/master", head: "refs/heads/main", after: "heads/main=a",
			defaultAfter: "refs/heads/main",
		},
		{
			name: "a file that becomes a directory", now: listing("heads/a=a", "HEAD=a"),
			origin: listing("heads/a/b=a"),
			write:  "heads/a/b=a", gone: "heads/a", head: "refs/heads/a/b", after: "heads/a/b=a", defaultAfter: "refs/heads/a/b",
		},
		{
			name: "refs that nobody selected stay", now: listing("heads/main=a", "pull/1/head=p", "HEAD=main"),
			origin: listing("heads/main=a", "pull/2/head=q", "sould/kept=r", "replace/"+id("a")+"=z", "HEAD=main"),
			after:  "heads/main=a pull/1/head=p", defaultAfter: "refs/heads/main",
		},
		{
			name: "a name that is no legal ref", now: listing("heads/main=a", "HEAD=main"),
			origin: listing("heads/main=a", "heads/../../x=b", "heads/y.lock=b", "HEAD=main"),
			after:  "heads/main=a", defaultAfter: "refs/heads/main",
		},
		{
			name: "a detached HEAD", now: listing("heads/main=a", "HEAD=main"), origin: listing("heads/main=a", "HEAD=d"),
			fetch: "d", head: id("d"), after: "heads/main=a",
		},
		{
			name: "a detached HEAD that stays", now: listing("heads/main=a", "HEAD=d"), origin: listing("heads/main=a", "HEAD=d"),
			after: "heads/main=a",
		},
		{
			name: "no HEAD: the default from before", now: listing("heads/dev=a", "heads/main=a", "HEAD=dev"),
			origin: listing("heads/dev=a", "heads/main=b"),
			write:  "heads/main=b", fetch: "b", after: "heads/dev=a heads/main=b", defaultAfter: "refs/heads/dev",
		},
		{
			name: "an empty origin of an empty mirror", now: listing("HEAD=main"), origin: listing(),
			defaultAfter: "refs/heads/main",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := makePlan(c.now, c.origin, usualRefs, "")
			if err != nil {
				t.Fatal(err)
			}
			head := ""
			if p.head != nil {
				head = p.head.Ref
				if p.head.Detached() {
					head = p.head.ID
				}
			}
			var fetch []string
			for _, f := range p.fetch {
				fetch = append(fetch, f[:1])
			}
			var gone []string
			for _, g := range p.remove {
				gone = append(gone, strings.TrimPrefix(g, "refs/"))
			}
			for _, x := range []struct{ what, got, want string }{
				{"writes", words(p.write), c.write},
				{"deletes", strings.Join(gone, " "), c.gone},
				{"fetches", strings.Join(fetch, " "), c.fetch},
				{"sets HEAD to", head, c.head},
				{"leaves", words(p.after.Refs), c.after},
				{"leaves the default branch", p.after.Head.Ref, c.defaultAfter},
			} {
				if x.got != x.want {
					t.Errorf("%s %q, want %q", x.what, x.got, x.want)
				}
			}
			again, err := makePlan(p.after, c.origin, usualRefs, "")
			if err != nil || !again.nothing() {
				t.Errorf("carried out, it is not done: %+v, %v", again, err)
			}
		})
	}
}

func words(refs []git.Ref) string {
	var w []string
	for _, r := range refs {
		w = append(w, strings.TrimPrefix(r.Name, "refs/")+"="+r.ID[:1])
	}
	return strings.Join(w, " ")
}

func TestPlanRefusesLoss(t *testing.T) {
	many := func(n int) git.Listing {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("heads/b%03d=a", i))
		}
		return listing(names...)
	}
	for _, c := range []struct {
		have, left int
		refused    bool
	}{
		{1, 0, true}, {30, 0, true}, // empty
		{2, 1, false}, {11, 1, false}, {20, 10, false}, {100, 50, false}, // few, or not more than half
		{12, 1, true}, {21, 10, true}, {100, 49, true},
		{0, 0, false}, {10, 12, false},
	} {
		p, err := makePlan(many(c.have), many(c.left), usualRefs, "")
		if r := (*refusal)(nil); errors.As(err, &r) != c.refused {
			t.Errorf("from %d refs to %d: %v", c.have, c.left, err)
		}
		if c.refused && (len(p.remove) > 0 || !strings.Contains(err.Error(), "accept=deletions") || !strings.Contains(err.Error(), "refs/heads/b0")) {
			t.Errorf("from %d refs to %d: %+v, %v", c.have, c.left, p, err)
		}
		if _, err := makePlan(many(c.have), many(c.left), usualRefs, acceptAll); err != nil {
			t.Errorf("accepted, from %d refs to %d: %v", c.have, c.left, err)
		}
	}
	// What nobody selected does not count.
	now := many(12)
	now.Refs = append(now.Refs, listing("pull/1=a", "pull/2=a", "pull/3=a").Refs...)
	if _, err := makePlan(now, many(1), usualRefs, ""); err == nil {
		t.Error("refs outside the patterns count as kept")
	}
}

func TestPlanRefusesWhatGitCannotKeep(t *testing.T) {
	patterns := []RefPattern{{"refs/heads/main"}, {"refs/heads/release/*"}}
	now := listing("heads/main=a", "heads/release=b", "HEAD=main") // release is the mirror's own
	origin := listing("heads/main=a", "heads/release/1=c", "HEAD=main")
	if _, err := makePlan(now, origin, patterns, ""); err == nil || !strings.Contains(err.Error(), "refs/heads/release/1 cannot be beside refs/heads/release") {
		t.Errorf("got %v", err)
	}
	if _, err := makePlan(git.Listing{}, listing("heads/a=a", "heads/a-b=b", "heads/a/b=c"), usualRefs, ""); err == nil {
		t.Error("an origin that lies is taken")
	}
	if _, err := makePlan(git.Listing{}, listing("heads/a=a", "heads/a-b=b", "heads/ab/c=c"), usualRefs, ""); err != nil {
		t.Error(err)
	}
}

func TestChooseHead(t *testing.T) {
	for _, c := range []struct{ origin, before, refs, want string }{
		{"dev", "main", "dev main", "dev"},
		{"gone", "dev", "dev main", "dev"},
		{"", "gone", "a main master", "main"},
		{"", "gone", "a master", "master"},
		{"", "", "only", "only"},
		{"", "", "a b", "main"},         // which does not exist: HEAD must name something
		{"", "before", "a b", "before"}, // as it is on disk: it does not exist
	} {
		var refs, heads []string
		for r := range strings.FieldsSeq(c.refs) {
			refs = append(refs, "heads/"+r+"=a")
		}
		for _, h := range []string{c.origin, c.before} {
			if h != "" {
				h = "refs/heads/" + h
			}
			heads = append(heads, h)
		}
		got := chooseHead(git.Head{Ref: heads[1]}, git.Head{Ref: heads[0]}, listing(refs...).Refs)
		if strings.TrimPrefix(got.Ref, "refs/heads/") != c.want || (got.ID != "") != strings.Contains(" "+c.refs+" ", " "+c.want+" ") && c.want != "" {
			t.Errorf("origin %q, before %q, branches %q: %+v, want %q", c.origin, c.before, c.refs, got, c.want)
		}
	}
	if got := chooseHead(git.Head{ID: id("d")}, git.Head{}, listing("heads/a=a", "heads/b=b").Refs); got != (git.Head{Ref: "refs/heads/main"}) {
		t.Errorf("an old detached HEAD stays: %+v", got)
	}
}

func TestRefPatterns(t *testing.T) {
	for _, bad := range []string{"", "*", "heads/*", "refs/*/*", "refs/heads", "refs/heads/..", "+refs/heads/*", "refs/heads/*:refs/x/*", "refs/sould/*", "^refs/heads/x"} {
		if p, err := ParseRefPattern(bad); err == nil && bad != "refs/heads" {
			t.Errorf("%q is taken as %v", bad, p)
		}
	}
	for _, c := range []struct {
		pattern, ref string
		want         bool
	}{
		{"refs/heads/*", "refs/heads/a/b", true}, {"refs/heads/*", "refs/heads/", false}, {"refs/heads/*", "refs/tags/a", false},
		{"refs/heads/main", "refs/heads/main", true}, {"refs/heads/main", "refs/heads/main2", false},
		{"refs/pull/*/head", "refs/pull/1/head", true}, {"refs/pull/*/head", "refs/pull/1/merge", false},
		{"refs/pull/*/head", "refs/pull/head", false}, {"refs/*", "refs/heads/a", true},
	} {
		p, err := ParseRefPattern(c.pattern)
		if err != nil || p.Match(c.ref) != c.want {
			t.Errorf("%q on %q: %v, %v", c.pattern, c.ref, p.Match(c.ref), err)
		}
	}
	all := []RefPattern{{"refs/*"}}
	for _, ref := range []string{"refs/sould/x", "refs/replace/" + id("a"), "refs/heads/a..b"} {
		if selected(all, ref) {
			t.Errorf("%s is taken", ref)
		}
	}
}

func TestCompatible(t *testing.T) {
	for _, c := range []struct{ refs, wrong string }{
		{"", ""},
		{"heads/a=a heads/b=a", ""},
		{"heads/a=a heads/a-b=a heads/ab=a heads/a.b=a heads/a0=a", ""},
		{"heads/a=a heads/a/c=a", "refs/heads/a/c cannot be beside refs/heads/a"},
		{"heads/a=a heads/a-b=a heads/a/c=a", "refs/heads/a/c cannot be beside refs/heads/a"},
		{"heads/a=a heads/a-b=a heads/a-b-c=a heads/a/b/c/d=a", "refs/heads/a/b/c/d cannot be beside refs/heads/a"},
		{"heads/a=a heads/a-b=a heads/a-b/c=a", "refs/heads/a-b/c cannot be beside refs/heads/a-b"},
		{"heads/a/b=a heads/a/b-c=a heads/a/b/c=a heads/a/d=a", "refs/heads/a/b/c cannot be beside refs/heads/a/b"},
		{"heads/a/b=a heads/a/c=a heads/a-b/c=a tags/a=a", ""},
	} {
		err := compatible(listing(strings.Fields(c.refs)...))
		if err == nil && c.wrong != "" || err != nil && err.Error() != "the ref "+c.wrong {
			t.Errorf("%s: %v, want %q", c.refs, err, c.wrong)
		}
	}
}

// TestCompatibleIsWhatItSays compares with the definition.
func TestCompatibleIsWhatItSays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		names := make(map[string]bool)
		for range 2 + random.IntN(4) {
			var name strings.Builder
			for range 1 + random.IntN(4) {
				name.WriteString([]string{"a", "b", "-", "/a", "/-", "/0"}[random.IntN(6)])
			}
			names["heads/"+strings.TrimPrefix(name.String(), "/")+"=a"] = true
		}
		l := listing(slices.Collect(maps.Keys(names))...)
		want := false
		for _, one := range l.Refs {
			for _, other := range l.Refs {
				want = want || strings.HasPrefix(one.Name, other.Name+"/")
			}
		}
		if err := compatible(l); (err != nil) != want {
			t.Fatalf("%v: %v", l.Refs, err)
		}
	}
}
