package refs

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
)

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
			name: "nothing new", now: gittest.Listing("heads/main=a", "HEAD=main"), origin: gittest.Listing("heads/main=a", "HEAD=main"),
			after: "heads/main=a", defaultAfter: "refs/heads/main",
		},
		{
			name: "a new commit", now: gittest.Listing("heads/main=a", "HEAD=main"), origin: gittest.Listing("heads/main=b", "HEAD=main"),
			write: "heads/main=b", fetch: "b", after: "heads/main=b", defaultAfter: "refs/heads/main",
		},
		{
			name: "the first clone", origin: gittest.Listing("heads/main=a", "tags/v1=b", "HEAD=main"),
			write: "heads/main=a tags/v1=b", fetch: "a b", head: "refs/heads/main",
			after: "heads/main=a tags/v1=b", defaultAfter: "refs/heads/main",
		},
		{
			name: "a new branch at a known commit", now: gittest.Listing("heads/main=a", "HEAD=main"),
			origin: gittest.Listing("heads/main=a", "heads/x=a", "HEAD=main"),
			write:  "heads/x=a", after: "heads/main=a heads/x=a", defaultAfter: "refs/heads/main",
		},
		{
			name: "a renamed default branch", now: gittest.Listing("heads/master=a", "HEAD=master"),
			origin: gittest.Listing("heads/main=a", "HEAD=main"),
			write:  "heads/main=a", gone: "heads/master", head: "refs/heads/main", after: "heads/main=a",
			defaultAfter: "refs/heads/main",
		},
		{
			name: "a file that becomes a directory", now: gittest.Listing("heads/a=a", "HEAD=a"),
			origin: gittest.Listing("heads/a/b=a"),
			write:  "heads/a/b=a", gone: "heads/a", head: "refs/heads/a/b", after: "heads/a/b=a", defaultAfter: "refs/heads/a/b",
		},
		{
			name: "refs that nobody selected stay", now: gittest.Listing("heads/main=a", "pull/1/head=p", "HEAD=main"),
			origin: gittest.Listing("heads/main=a", "pull/2/head=q", "sould/kept=r", "replace/"+gittest.ID("a")+"=z", "HEAD=main"),
			after:  "heads/main=a pull/1/head=p", defaultAfter: "refs/heads/main",
		},
		{
			name: "a name that is no legal ref", now: gittest.Listing("heads/main=a", "HEAD=main"),
			origin: gittest.Listing("heads/main=a", "heads/../../x=b", "heads/y.lock=b", "HEAD=main"),
			after:  "heads/main=a", defaultAfter: "refs/heads/main",
		},
		{
			name: "a detached HEAD", now: gittest.Listing("heads/main=a", "HEAD=main"), origin: gittest.Listing("heads/main=a", "HEAD=d"),
			fetch: "d", head: gittest.ID("d"), after: "heads/main=a",
		},
		{
			name: "a detached HEAD that stays", now: gittest.Listing("heads/main=a", "HEAD=d"), origin: gittest.Listing("heads/main=a", "HEAD=d"),
			after: "heads/main=a",
		},
		{
			name: "no HEAD: the default from before", now: gittest.Listing("heads/dev=a", "heads/main=a", "HEAD=dev"),
			origin: gittest.Listing("heads/dev=a", "heads/main=b"),
			write:  "heads/main=b", fetch: "b", after: "heads/dev=a heads/main=b", defaultAfter: "refs/heads/dev",
		},
		{
			name: "an empty origin of an empty mirror", now: gittest.Listing("HEAD=main"), origin: gittest.Listing(),
			defaultAfter: "refs/heads/main",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Make(c.now, c.origin, DefaultPatterns(), "")
			if err != nil {
				t.Fatal(err)
			}
			head := ""
			if p.Head != nil {
				head = p.Head.Ref
				if p.Head.Detached() {
					head = p.Head.ID
				}
			}
			var fetch []string
			for _, f := range p.Fetch {
				fetch = append(fetch, f[:1])
			}
			var gone []string
			for _, g := range p.Remove {
				gone = append(gone, strings.TrimPrefix(g, "refs/"))
			}
			for _, x := range []struct{ what, got, want string }{
				{"writes", words(p.Write), c.write},
				{"deletes", strings.Join(gone, " "), c.gone},
				{"fetches", strings.Join(fetch, " "), c.fetch},
				{"sets HEAD to", head, c.head},
				{"leaves", words(p.After.Refs), c.after},
				{"leaves the default branch", p.After.Head.Ref, c.defaultAfter},
			} {
				if x.got != x.want {
					t.Errorf("%s %q, want %q", x.what, x.got, x.want)
				}
			}
			again, err := Make(p.After, c.origin, DefaultPatterns(), "")
			if err != nil || !again.Empty() {
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
		return gittest.Listing(names...)
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
		p, err := Make(many(c.have), many(c.left), DefaultPatterns(), "")
		if r := (*Refusal)(nil); errors.As(err, &r) != c.refused {
			t.Errorf("from %d refs to %d: %v", c.have, c.left, err)
		}
		if c.refused && (len(p.Remove) > 0 || !strings.Contains(err.Error(), "accept=deletions") || !strings.Contains(err.Error(), "refs/heads/b0")) {
			t.Errorf("from %d refs to %d: %+v, %v", c.have, c.left, p, err)
		}
		if _, err := Make(many(c.have), many(c.left), DefaultPatterns(), AcceptAll); err != nil {
			t.Errorf("accepted, from %d refs to %d: %v", c.have, c.left, err)
		}
	}
	// Refs that no pattern selects do not count.
	now := many(12)
	now.Refs = append(now.Refs, gittest.Listing("pull/1=a", "pull/2=a", "pull/3=a").Refs...)
	if _, err := Make(now, many(1), DefaultPatterns(), ""); err == nil {
		t.Error("refs outside the patterns count as kept")
	}
}

func TestPlanRefusesWhatGitCannotStore(t *testing.T) {
	patterns := []Pattern{{"refs/heads/main"}, {"refs/heads/release/*"}}
	now := gittest.Listing("heads/main=a", "heads/release=b", "HEAD=main") // release is the mirror's own
	origin := gittest.Listing("heads/main=a", "heads/release/1=c", "HEAD=main")
	if _, err := Make(now, origin, patterns, ""); err == nil || !strings.Contains(err.Error(), "refs/heads/release/1 cannot be beside refs/heads/release") {
		t.Errorf("got %v", err)
	}
	if _, err := Make(git.Listing{}, gittest.Listing("heads/a=a", "heads/a-b=b", "heads/a/b=c"), DefaultPatterns(), ""); err == nil {
		t.Error("an origin that lies is taken")
	}
	if _, err := Make(git.Listing{}, gittest.Listing("heads/a=a", "heads/a-b=b", "heads/ab/c=c"), DefaultPatterns(), ""); err != nil {
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
		{"", "", "a b", "main"},         // a branch that does not exist: HEAD must name one
		{"", "before", "a b", "before"}, // it does not exist, but HEAD on disk names it
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
		got := ChooseHead(git.Head{Ref: heads[1]}, git.Head{Ref: heads[0]}, gittest.Listing(refs...).Refs)
		if strings.TrimPrefix(got.Ref, "refs/heads/") != c.want || (got.ID != "") != strings.Contains(" "+c.refs+" ", " "+c.want+" ") && c.want != "" {
			t.Errorf("origin %q, before %q, branches %q: %+v, want %q", c.origin, c.before, c.refs, got, c.want)
		}
	}
	if got := ChooseHead(git.Head{ID: gittest.ID("d")}, git.Head{}, gittest.Listing("heads/a=a", "heads/b=b").Refs); got != (git.Head{Ref: "refs/heads/main"}) {
		t.Errorf("an old detached HEAD stays: %+v", got)
	}
}

func TestRefPatterns(t *testing.T) {
	for _, bad := range []string{"", "*", "heads/*", "refs/*/*", "refs/heads", "refs/heads/..", "+refs/heads/*", "refs/heads/*:refs/x/*", "refs/sould/*", "^refs/heads/x"} {
		if p, err := ParsePattern(bad); err == nil && bad != "refs/heads" {
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
		p, err := ParsePattern(c.pattern)
		if err != nil || p.matches(c.ref) != c.want {
			t.Errorf("%q on %q: %v, %v", c.pattern, c.ref, p.matches(c.ref), err)
		}
	}
	all := []Pattern{{"refs/*"}}
	for _, ref := range []string{"refs/sould/x", "refs/replace/" + gittest.ID("a"), "refs/heads/a..b"} {
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
		err := checkCompatible(gittest.Listing(strings.Fields(c.refs)...))
		if err == nil && c.wrong != "" || err != nil && err.Error() != "the ref "+c.wrong {
			t.Errorf("%s: %v, want %q", c.refs, err, c.wrong)
		}
	}
}

// TestCompatibleEqualsItsDefinition compares with a plain implementation.
func TestCompatibleEqualsItsDefinition(t *testing.T) {
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
		l := gittest.Listing(slices.Collect(maps.Keys(names))...)
		want := false
		for _, one := range l.Refs {
			for _, other := range l.Refs {
				want = want || strings.HasPrefix(one.Name, other.Name+"/")
			}
		}
		if err := checkCompatible(l); (err != nil) != want {
			t.Fatalf("%v: %v", l.Refs, err)
		}
	}
}
