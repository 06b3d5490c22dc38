package discover

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Glob selects repositories by their path. A * stands for any characters but slashes, ** for any, and ?
// for one that is no slash. A glob without a slash is for the last part of the path. Case does not count:
// forges have no two repositories that differ in it alone.
type Glob struct {
	raw string
	re  *regexp.Regexp
}

// maxGlob is the length of the longest glob, in bytes.
const maxGlob = 1000

// parseGlob parses an element of the keys include and exclude.
func parseGlob(s string) (Glob, error) {
	switch {
	case s == "":
		return Glob{}, errors.New("a glob must not be empty")
	case len(s) > maxGlob:
		return Glob{}, fmt.Errorf("a glob has %d bytes; %d at most", len(s), maxGlob)
	case strings.ContainsAny(s, `[]{}\`):
		return Glob{}, fmt.Errorf(`%q has one of [ ] { } \ in it, which mean nothing in a glob: it knows *, ** and ?`, s)
	case strings.HasPrefix(s, "/") || strings.HasSuffix(s, "/"):
		return Glob{}, fmt.Errorf(`%q begins or ends with a slash, and no path of a repository does: write "group/**" for all below a group`, s)
	}
	var b strings.Builder
	b.WriteString("(?is)^")
	if !strings.Contains(s, "/") {
		b.WriteString("(?:.*/)?")
	}
	for rest := s; rest != ""; {
		n := 1
		switch {
		case strings.HasPrefix(rest, "**"):
			b.WriteString(".*")
			n = 2
		case rest[0] == '*':
			b.WriteString("[^/]*")
		case rest[0] == '?':
			b.WriteString("[^/]")
		default:
			if n = strings.IndexAny(rest, "*?"); n < 0 {
				n = len(rest)
			}
			b.WriteString(regexp.QuoteMeta(rest[:n]))
		}
		rest = rest[n:]
	}
	re, err := regexp.Compile(b.String() + "$")
	if err != nil {
		return Glob{}, fmt.Errorf("%q is no glob", s)
	}
	return Glob{s, re}, nil
}

func (g Glob) String() string { return g.raw }

// Same reports whether two globs are written alike.
func (g Glob) Same(other Glob) bool { return g.raw == other.raw }

// Matches reports whether the glob selects a path.
func (g Glob) Matches(path string) bool { return g.re.MatchString(path) }
