package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// RefPattern selects refs: a full name, or one with a single "*" that stands for
// anything, slashes included, as in git's refspecs.
type RefPattern struct{ s string }

// ParseRefPattern checks a pattern.
func ParseRefPattern(s string) (RefPattern, error) {
	if strings.Count(s, "*") > 1 || !strings.HasPrefix(s, "refs/") ||
		!git.IsRefName(strings.Replace(s, "*", "x", 1)) {
		return RefPattern{}, fmt.Errorf("%q is no pattern of refs; write a full name with at most one *, such as \"refs/heads/*\"", s)
	}
	if strings.HasPrefix(s, keptRefs) {
		return RefPattern{}, fmt.Errorf("%q: refs/sould/ is the server's own", s)
	}
	return RefPattern{s}, nil
}

// Match reports whether the pattern selects the ref of that full name.
func (p RefPattern) Match(ref string) bool {
	before, after, star := strings.Cut(p.s, "*")
	if !star {
		return ref == p.s
	}
	return len(ref) > len(before)+len(after) && strings.HasPrefix(ref, before) && strings.HasSuffix(ref, after)
}

// covers reports whether the pattern selects whatever another one does.
func (p RefPattern) covers(q RefPattern) bool {
	before, after, star := strings.Cut(p.s, "*")
	otherBefore, otherAfter, otherStar := strings.Cut(q.s, "*")
	switch {
	case !otherStar:
		return p.Match(q.s)
	case !star:
		return false
	default:
		return strings.HasPrefix(otherBefore, before) && strings.HasSuffix(otherAfter, after)
	}
}

// coverAll reports whether a server with the patterns theirs has all that one with ours
// has. A server from before it told of them says nothing.
func coverAll(theirs []string, ours []RefPattern) bool {
	if len(theirs) == 0 {
		return true
	}
	for _, q := range ours {
		if !slices.ContainsFunc(theirs, func(s string) bool {
			p, err := ParseRefPattern(s)
			return err == nil && p.covers(q)
		}) {
			return false
		}
	}
	return true
}

// samePatterns reports whether a server with the patterns theirs takes the same refs, as
// far as it tells.
func samePatterns(theirs []string, ours []RefPattern) bool {
	var names []string
	for _, p := range ours {
		names = append(names, p.s)
	}
	slices.Sort(names)
	return len(theirs) == 0 || slices.Equal(slices.Compact(names), slices.Compact(slices.Sorted(slices.Values(theirs))))
}

func (p RefPattern) same(q RefPattern) bool { return p == q }

func (p RefPattern) String() string { return p.s }

// keptRefs and replaceRefs are never taken from an origin: the first are this
// server's own, the second would change what a commit id means.
const (
	keptRefs    = "refs/sould/"
	replaceRefs = "refs/replace/"
)

// selected reports whether a mirror with these patterns takes a ref.
func selected(patterns []RefPattern, ref string) bool {
	if strings.HasPrefix(ref, keptRefs) || strings.HasPrefix(ref, replaceRefs) || !git.IsRefName(ref) {
		return false
	}
	for _, p := range patterns {
		if p.Match(ref) {
			return true
		}
	}
	return false
}
