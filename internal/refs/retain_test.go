package refs

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
)

// ownListing makes refs of words such as "sould/kept/100/heads/main=a".
func ownListing(words string) []git.Ref { return gittest.Listing(strings.Fields(words)...).Refs }

func TestRetain(t *testing.T) {
	for _, c := range []struct {
		what, own, lost string
		now, keep       int64 // seconds
		want            string
	}{
		{"nothing", "", "", 100, 10, ""},
		{"a deleted ref", "", "heads/x=a", 100, 10, "sould/kept/100/heads/x=a"},
		{"what is not ours stays", "replace/y=b sould/other=c", "heads/x=a", 100, 10,
			"replace/y=b sould/kept/100/heads/x=a sould/other=c"},
		{"keeping is off", "sould/kept/90/heads/x=a sould/other=c", "heads/y=b", 100, 0, "sould/other=c"},
		{"expired", "sould/kept/90/heads/x=a sould/kept/91/heads/x=b", "", 100, 10, "sould/kept/91/heads/x=b"},
		{"twice in one second", "sould/kept/100/heads/x=a", "heads/x=b", 100, 10,
			"sould/kept/100/heads/x=a sould/kept/100-1/heads/x=b"},
		{"a file, then its directory", "sould/kept/100/heads/x=a", "heads/x/y=b", 100, 10,
			"sould/kept/100/heads/x=a sould/kept/100-1/heads/x/y=b"},
		{"a directory, then its file", "sould/kept/100/heads/x/y=a sould/kept/100-1/heads/x=b", "heads/x=c tags/t=d", 100, 10,
			"sould/kept/100/heads/x/y=a sould/kept/100-1/heads/x=b sould/kept/100-2/heads/x=c sould/kept/100-2/tags/t=d"},
		{"an origin that flaps", "sould/kept/95/heads/x=a sould/kept/96/heads/x=b", "heads/x=a", 100, 10,
			"sould/kept/96/heads/x=b sould/kept/100/heads/x=a"},
		{"the same again in one second: its directory is free", "sould/kept/100/heads/x=a", "heads/x=a", 100, 10, "sould/kept/100/heads/x=a"},
		{"as many seconds", "sould/kept/100-1/heads/x=a", "", 110, 10, ""},
	} {
		got, early := Retain(ownListing(c.own), ownListing(c.lost), time.Unix(c.now, 0), LimitsFor(time.Duration(c.keep)*time.Second))
		if want := ownListing(c.want); !slices.Equal(got, want) || early != 0 {
			t.Errorf("%s: %v, want %v; %d went early", c.what, got, want, early)
		}
	}
}

func TestRetainIsBounded(t *testing.T) {
	for _, c := range []struct {
		what, own, lost string
		refs, values    int
		want            string
		early           int
	}{
		{"there is place", "sould/kept/90/heads/x=a", "heads/y=b", 2, 1, "sould/kept/100/heads/y=b sould/kept/90/heads/x=a", 0},
		{"the oldest goes", "sould/kept/90/heads/x=a sould/kept/91/heads/y=b", "heads/z=c heads/x=d", 3, 9,
			"sould/kept/100/heads/x=d sould/kept/100/heads/z=c sould/kept/91/heads/y=b", 1},
		{"the oldest goes, as others fill the place", "sould/kept/90/heads/x=a sould/kept/91/heads/y=b", "heads/z=c heads/x=d", 2, 9,
			"sould/kept/100/heads/x=d sould/kept/100/heads/z=c", 2},
		{"what one pull has lost is kept as a whole", "sould/kept/90/heads/x=a", "heads/v=b heads/w=c heads/x=d heads/y=e", 2, 1,
			"sould/kept/100/heads/v=b sould/kept/100/heads/w=c sould/kept/100/heads/x=d sould/kept/100/heads/y=e", 1},
		{"and stays so as long as little is lost later", "sould/kept/90/heads/v=a sould/kept/90/heads/w=b sould/kept/90/heads/x=c", "heads/z=d", 2, 9,
			"sould/kept/100/heads/z=d sould/kept/90/heads/v=a sould/kept/90/heads/w=b sould/kept/90/heads/x=c", 0},
		{"and goes so", "sould/kept/90/heads/v=a sould/kept/90/heads/w=b sould/kept/91/heads/x=c", "heads/z=d", 2, 9,
			"sould/kept/100/heads/z=d sould/kept/91/heads/x=c", 2},
		{"a tag that moves", "sould/kept/80/tags/t=a sould/kept/90/tags/t=b sould/kept/90/tags/u=c", "tags/t=d", 9, 2,
			"sould/kept/100/tags/t=d sould/kept/90/tags/t=b sould/kept/90/tags/u=c", 1},
		{"within a second", "sould/kept/99/tags/t=a sould/kept/99-2/tags/t=b sould/kept/99-10/tags/t=c", "tags/t=d", 9, 2,
			"sould/kept/100/tags/t=d sould/kept/99-10/tags/t=c", 2},
		{"a clock that was set back", "sould/kept/900/heads/x=a sould/kept/901/heads/x=b", "heads/x=c", 9, 2,
			"sould/kept/100/heads/x=c sould/kept/901/heads/x=b", 1},
		{"the same again takes no place", "sould/kept/90/heads/x=a sould/kept/91/heads/x=b", "heads/x=a", 9, 2,
			"sould/kept/100/heads/x=a sould/kept/91/heads/x=b", 0},
		{"what is not ours has no bound", "replace/x=a replace/y=b sould/other=c", "heads/x=d", 1, 1,
			"replace/x=a replace/y=b sould/kept/100/heads/x=d sould/other=c", 0},
		{"nothing new", "sould/kept/80/heads/x=a sould/kept/90/heads/y=b sould/kept/91/heads/z=c", "", 1, 9, "sould/kept/91/heads/z=c", 2},
	} {
		got, early := Retain(ownListing(c.own), ownListing(c.lost), time.Unix(100, 0), Limits{time.Hour, c.refs, c.values})
		if want := ownListing(c.want); !slices.Equal(got, want) || early != c.early {
			t.Errorf("%s: %v and %d went early, want %v and %d", c.what, got, early, want, c.early)
		}
	}
}

func TestRetainALongName(t *testing.T) {
	long := "refs/heads/" + strings.Repeat("x/", 2040) + "y"
	if !git.IsRefName(long) {
		t.Fatal("that is no name to begin with")
	}
	got, _ := Retain(nil, []git.Ref{{Name: long, ID: gittest.ID("a"), Peeled: gittest.ID("a")}}, time.Unix(100, 0), LimitsFor(time.Hour))
	if len(got) != 1 || !git.IsRefName(got[0].Name) || got[0].ID != gittest.ID("a") {
		t.Errorf("%v", got)
	}
}

func TestRetainedAmong(t *testing.T) {
	own := ownListing("sould/kept/200/tags/v1=a sould/kept/100-3/heads/x/y=b sould/kept/nonsense/x=c sould/kept/100=d replace/z=e")
	own[slices.IndexFunc(own, func(r git.Ref) bool { return r.ID == gittest.ID("a") })].Peeled = gittest.ID("9")
	want := []Retained{
		{"refs/heads/x/y", gittest.ID("b"), time.Unix(100, 0).UTC(), "100-3"},
		{"refs/tags/v1", gittest.ID("9"), time.Unix(200, 0).UTC(), "200"},
	}
	if got := RetainedAmong(own); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestLosses(t *testing.T) {
	now := gittest.Listing("heads/gone=a", "heads/moved=b", "heads/same=c", "tags/moved=d", "pull/1=e", "pull/annotated=f", "HEAD=same")
	now.Refs[slices.IndexFunc(now.Refs, func(r git.Ref) bool { return r.ID == gittest.ID("f") })].Peeled = gittest.ID("9")
	patterns := []Pattern{{"refs/*"}}
	origin := gittest.Listing("heads/new=7", "heads/moved=1", "heads/same=c", "tags/moved=2", "pull/1=3", "pull/annotated=4", "HEAD=same")
	p, err := Make(now, origin, patterns, "")
	if err != nil {
		t.Fatal(err)
	}
	lost, moved := Losses(now, p)
	want := []string{"refs/heads/gone", "refs/pull/annotated", "refs/tags/moved", "? refs/heads/moved 1", "? refs/pull/1 3"}
	if got := lossNames(lost, moved); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// lossNames are the names of lost refs, and those of moved refs, each with a question mark and
// the first digits of its new values.
func lossNames(lost []git.Ref, moved []Moved) (names []string) {
	for _, ref := range lost {
		names = append(names, ref.Name)
	}
	for _, m := range moved {
		name := "? " + m.From.Name + " "
		for _, to := range m.To {
			name += to[:1]
		}
		names = append(names, name)
	}
	return names
}

func TestLossOfADetachedHead(t *testing.T) {
	detached := func(l git.Listing, digit string) git.Listing {
		l.Head = git.Head{ID: gittest.ID(digit)}
		return l
	}
	for _, c := range []struct {
		what        string
		now, origin git.Listing
		want        []string
	}{
		{"as before", detached(gittest.Listing("heads/main=a"), "b"), detached(gittest.Listing("heads/main=a"), "b"), nil},
		{"moved", detached(gittest.Listing("heads/main=a"), "b"), detached(gittest.Listing("heads/main=a"), "c"), []string{"? HEAD ca"}},
		{"moved with a branch", detached(gittest.Listing("heads/main=a"), "b"), detached(gittest.Listing("heads/main=d"), "c"), []string{"? refs/heads/main d", "? HEAD cd"}},
		{"attached", detached(gittest.Listing("heads/main=a"), "b"), gittest.Listing("heads/main=a", "HEAD=main"), []string{"? HEAD a"}},
		{"attached to nothing", detached(gittest.Listing("heads/x=a", "heads/y=c"), "b"), gittest.Listing("heads/x=a", "heads/y=c"), []string{"? HEAD ac"}},
		{"attached where it was", detached(gittest.Listing("heads/main=a"), "a"), gittest.Listing("heads/main=a", "HEAD=main"), nil},
		{"on a branch", detached(gittest.Listing("heads/main=a", "heads/x=b"), "b"), detached(gittest.Listing("heads/main=a", "heads/x=b"), "c"), nil},
		{"to a branch that comes", detached(gittest.Listing("heads/main=a"), "b"), gittest.Listing("heads/main=a", "heads/x=b", "HEAD=main"), nil},
		{"detached now", gittest.Listing("heads/main=a", "HEAD=main"), detached(gittest.Listing("heads/main=a"), "b"), nil},
	} {
		p, err := Make(c.now, c.origin, []Pattern{{"refs/heads/*"}}, "")
		if err != nil {
			t.Fatal(err)
		}
		lost, moved := Losses(c.now, p)
		if got := lossNames(lost, moved); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestRetainedHead(t *testing.T) {
	head := git.Ref{Name: "HEAD", ID: gittest.ID("a"), Peeled: gittest.ID("a")}
	// A ref of the name HEAD, or a directory, can be lost at the same time.
	for _, other := range []string{"refs/HEAD", "refs/HEAD/x"} {
		lost := []git.Ref{{Name: other, ID: gittest.ID("b"), Peeled: gittest.ID("b")}, head}
		own, _ := Retain(nil, lost, time.Unix(100, 0), LimitsFor(time.Hour))
		if err := checkCompatible(git.Listing{Refs: own}); err != nil {
			t.Error(err)
		}
		want := []Retained{{other, gittest.ID("b"), time.Unix(100, 0).UTC(), "100"}, {"HEAD", gittest.ID("a"), time.Unix(100, 0).UTC(), "100"}}
		if got := RetainedAmong(own); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if again, _ := Retain(own, lost, time.Unix(101, 0), LimitsFor(time.Hour)); len(again) != 2 {
			t.Errorf("after the second time, %v are retained", again)
		}
	}
}
