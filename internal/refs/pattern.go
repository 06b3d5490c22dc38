// Package refs decides what happens to the refs of a mirror: which refs of the origin it takes,
// what a pull has to change, when a pull is refused, and which refs are retained that the
// origin has replaced or deleted. All functions are pure: they read and write nothing.
package refs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// Pattern selects refs. It is a full name, or one with a single "*", which stands for one or
// more characters, slashes included, as in git's refspecs.
type Pattern struct{ s string }

// ParsePattern parses a pattern.
func ParsePattern(s string) (Pattern, error) {
	if strings.Count(s, "*") > 1 || !strings.HasPrefix(s, "refs/") ||
		!git.IsRefName(strings.Replace(s, "*", "x", 1)) {
		return Pattern{}, fmt.Errorf("%q is not a pattern of refs; write a full name with at most one *, such as \"refs/heads/*\"", s)
	}
	if strings.HasPrefix(s, Own) {
		return Pattern{}, fmt.Errorf("%q: refs/sould/ is reserved for the server itself", s)
	}
	return Pattern{s}, nil
}

// DefaultPatterns returns the patterns of branches and tags.
func DefaultPatterns() []Pattern { return []Pattern{{"refs/heads/*"}, {"refs/tags/*"}} }

// matches reports whether the pattern selects the ref with this full name.
func (p Pattern) matches(ref string) bool {
	before, after, star := strings.Cut(p.s, "*")
	if !star {
		return ref == p.s
	}
	return len(ref) > len(before)+len(after) && strings.HasPrefix(ref, before) && strings.HasSuffix(ref, after)
}

// Prefixes is how the names begin of all refs that patterns select.
func Prefixes(patterns []Pattern) []string {
	prefixes := make([]string, len(patterns))
	for i, p := range patterns {
		prefixes[i], _, _ = strings.Cut(p.s, "*")
	}
	return prefixes
}

// covers reports whether the pattern selects every ref that q selects.
func (p Pattern) covers(q Pattern) bool {
	before, after, star := strings.Cut(p.s, "*")
	otherBefore, otherAfter, otherStar := strings.Cut(q.s, "*")
	switch {
	case !otherStar:
		return p.matches(q.s)
	case !star:
		return false
	default:
		return strings.HasPrefix(otherBefore, before) && strings.HasSuffix(otherAfter, after)
	}
}

// CoverAll reports whether a server with the patterns theirs takes all refs that one with the
// patterns ours takes. It is true if theirs is empty: an old server does not send its patterns.
func CoverAll(theirs []string, ours []Pattern) bool {
	if len(theirs) == 0 {
		return true
	}
	for _, q := range ours {
		if !slices.ContainsFunc(theirs, func(s string) bool {
			p, err := ParsePattern(s)
			return err == nil && p.covers(q)
		}) {
			return false
		}
	}
	return true
}

// IncludeDefaults reports whether the patterns select all branches and tags.
func IncludeDefaults(patterns []Pattern) bool {
	for _, q := range DefaultPatterns() {
		if !slices.ContainsFunc(patterns, func(p Pattern) bool { return p.covers(q) }) {
			return false
		}
	}
	return true
}

// SamePatterns reports whether a server with the patterns theirs takes the same refs. It is
// true if theirs is empty: an old server does not send its patterns.
func SamePatterns(theirs []string, ours []Pattern) bool {
	var names []string
	for _, p := range ours {
		names = append(names, p.s)
	}
	slices.Sort(names)
	return len(theirs) == 0 || slices.Equal(slices.Compact(names), slices.Compact(slices.Sorted(slices.Values(theirs))))
}

// Same reports whether two patterns are equal.
func (p Pattern) Same(q Pattern) bool { return p == q }

func (p Pattern) String() string { return p.s }

// Own and Replace are prefixes of refs that are never taken from an origin. Refs below Own are
// sould's own. Refs below Replace would change what a commit id means (git-replace(1)).
const (
	Own     = "refs/sould/"
	Replace = "refs/replace/"
)

// selected reports whether a mirror with these patterns takes a ref.
func selected(patterns []Pattern, ref string) bool {
	if strings.HasPrefix(ref, Own) || strings.HasPrefix(ref, Replace) || !git.IsRefName(ref) {
		return false
	}
	for _, p := range patterns {
		if p.matches(ref) {
			return true
		}
	}
	return false
}
