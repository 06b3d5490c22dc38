package main

import (
	"slices"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/git/gittest"
	"github.com/reconquest/sould/internal/origin"
)

func TestWantsPull(t *testing.T) {
	remote, err := origin.Parse("https://h/x", false)
	if err != nil {
		t.Fatal(err)
	}
	local, err := origin.Parse("/x", true)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := origin.Parse("https://elsewhere/x", false)
	if err != nil {
		t.Fatal(err)
	}
	var allowed []origin.Pattern
	for _, raw := range []string{"h", "/x"} {
		p, err := origin.ParsePattern(raw)
		if err != nil {
			t.Fatal(err)
		}
		allowed = append(allowed, p)
	}
	const insists, pulled, ready = 1, 2, 4
	for _, c := range []struct {
		origin   origin.URL
		unsecure bool
		outcome  Outcome
		flags    int
		want     bool
	}{
		{remote, false, OutcomeSuccess, pulled | ready, false},
		{remote, false, OutcomeSuccess, ready, true},
		{remote, false, OutcomeFailed, pulled | ready, true},
		{remote, false, OutcomeUnknown, ready, true},
		{remote, false, OutcomeSuccess, insists | pulled | ready, true},
		{remote, false, OutcomeFailed, pulled, false},
		{remote, false, OutcomeFailed, insists | pulled, false},
		{origin.URL{}, true, OutcomeUnknown, insists | ready, false},
		{local, false, OutcomeFailed, insists | ready, false},
		{local, true, OutcomeFailed, ready, true},
		{elsewhere, true, OutcomeFailed, insists | ready, false},
	} {
		s := &Snapshot{Origin: c.origin, Outcome: c.outcome}
		got := wantsPull(s, &settings{Config: Config{Origins: allowed}, unsecure: c.unsecure}, c.flags&insists != 0, c.flags&pulled != 0, c.flags&ready != 0)
		if got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

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
		{full, "tags/v1", "", "", errUnknownRef},
		{full, "HEAD", "", "", errUnknownRef},
		{full, gittest.ID("8")[:12], "", "", errUnknownRef},
		{&Snapshot{Listing: hex}, gittest.ID("7"), gittest.ID("7"), gittest.ID("a"), nil},
		{&Snapshot{Listing: hex}, "", "", "", errNoDefault},
		{&Snapshot{}, "", "", "", errEmptyMirror},
		{&Snapshot{}, "main", "", "", errEmptyMirror},
		{&Snapshot{}, gittest.ID("8"), gittest.ID("8"), "", nil}, // it may have been lost, and be kept
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
