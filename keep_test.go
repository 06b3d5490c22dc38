package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// ownListing makes refs of words such as "sould/kept/100/heads/main=a".
func ownListing(words string) []git.Ref { return listing(strings.Fields(words)...).Refs }

func TestKeep(t *testing.T) {
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
		{"the expired directory is free again", "sould/kept/100/heads/x=a", "heads/x/y=b", 100, 0, ""},
		{"an origin that flaps", "sould/kept/95/heads/x=a sould/kept/96/heads/x=b", "heads/x=a", 100, 10,
			"sould/kept/96/heads/x=b sould/kept/100/heads/x=a"},
		{"as many seconds", "sould/kept/100-1/heads/x=a", "", 110, 10, ""},
	} {
		got := keep(ownListing(c.own), ownListing(c.lost), time.Unix(c.now, 0), time.Duration(c.keep)*time.Second)
		if want := ownListing(c.want); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.what, got, want)
		}
	}
}

func TestKeepOfALongName(t *testing.T) {
	long := "refs/heads/" + strings.Repeat("x/", 2040) + "y"
	if !git.IsRefName(long) {
		t.Fatal("that is no name to begin with")
	}
	got := keep(nil, []git.Ref{{Name: long, ID: id("a"), Peeled: id("a")}}, time.Unix(100, 0), time.Hour)
	if len(got) != 1 || !git.IsRefName(got[0].Name) || got[0].ID != id("a") {
		t.Errorf("%v", got)
	}
}

func TestKeptAmong(t *testing.T) {
	own := ownListing("sould/kept/200/tags/v1=a sould/kept/100-3/heads/x/y=b sould/kept/nonsense/x=c sould/kept/100=d replace/z=e")
	own[slices.IndexFunc(own, func(r git.Ref) bool { return r.ID == id("a") })].Peeled = id("9")
	want := []keptRef{
		{"refs/heads/x/y", id("b"), time.Unix(100, 0).UTC()},
		{"refs/tags/v1", id("9"), time.Unix(200, 0).UTC()},
	}
	if got := keptAmong(own); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestLosses(t *testing.T) {
	now := listing("heads/gone=a", "heads/moved=b", "heads/same=c", "tags/moved=d", "pull/1=e", "pull/annotated=f", "HEAD=same")
	now.Refs[slices.IndexFunc(now.Refs, func(r git.Ref) bool { return r.ID == id("f") })].Peeled = id("9")
	patterns := []RefPattern{{"refs/*"}}
	origin := listing("heads/new=7", "heads/moved=1", "heads/same=c", "tags/moved=2", "pull/1=3", "pull/annotated=4", "HEAD=same")
	p, err := makePlan(now, origin, patterns, "")
	if err != nil {
		t.Fatal(err)
	}
	lost, asks := losses(now, p)
	var names []string
	for _, ref := range lost {
		names = append(names, ref.Name)
	}
	for _, ask := range asks {
		names = append(names, "? "+ask.from.Name+" "+ask.to[:1])
	}
	want := []string{"refs/heads/gone", "refs/pull/annotated", "refs/tags/moved", "? refs/heads/moved 1", "? refs/pull/1 3"}
	if !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
}
