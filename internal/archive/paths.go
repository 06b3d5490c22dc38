package archive

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/reconquest/sould/internal/errtext"
)

// Paths are the files and directories that an archive is limited to, sorted, none of them twice
// or inside another one. They are comparable; the zero value is for all.
type Paths struct{ joined string } // by NUL, which no name in a tree has

// NewPaths returns the paths of an archive that is to have all that lies at any of these. The
// paths are relative, and clean.
func NewPaths(paths []string) Paths {
	known := make(map[string]bool)
	for _, path := range paths {
		known[path] = true
	}
	var kept []string
	for path := range known {
		if !isInside(path, known) {
			kept = append(kept, path)
		}
	}
	slices.Sort(kept)
	return Paths{strings.Join(kept, "\x00")}
}

// isInside reports whether a path lies inside one of others.
func isInside(path string, others map[string]bool) bool {
	for i := range len(path) {
		if path[i] == '/' && others[path[:i]] {
			return true
		}
	}
	return false
}

// List returns the paths one by one; none for all.
func (p Paths) List() []string {
	if p.joined == "" {
		return nil
	}
	return strings.Split(p.joined, "\x00")
}

// Bounds of paths and prefixes.
const (
	maxPath     = 4096    // bytes of each
	maxAllPaths = 8 << 10 // bytes of all paths together
	mostPaths   = 64
)

// ParsePaths reads the paths that a client names, relative to the root of a commit. They are
// returned clean and sorted, each of them once.
func ParsePaths(words []string) (paths []string, err error) {
	if len(words) > mostPaths {
		return nil, fmt.Errorf("the parameter path is given %d times; %d at most", len(words), mostPaths)
	}
	total := 0
	for _, word := range words {
		path, err := cleanPath(word)
		if err != nil {
			return nil, fmt.Errorf("path=%q: %w", errtext.Word(word, 100), err)
		}
		if total += len(path); total > maxAllPaths {
			return nil, fmt.Errorf("all paths together have more than %d bytes", maxAllPaths)
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// ParsePrefix reads what a client wants to have before every path. It appears in the archive, and
// on the disk of whoever unpacks that, so it must be harmless as well. The result ends with a slash.
func ParsePrefix(word string) (prefix string, err error) {
	switch {
	case strings.HasPrefix(word, "-"):
		err = errors.New("it begins with a dash")
	case strings.ContainsFunc(word, unicode.IsControl):
		err = errors.New("it contains a control character")
	default:
		prefix, err = cleanPath(word)
	}
	if err != nil {
		return "", fmt.Errorf("prefix=%q: %w", errtext.Word(word, 100), err)
	}
	return prefix + "/", nil
}

// cleanPath checks a path inside a commit: relative, without steps that lead elsewhere. A name in a
// tree can have every other byte but NUL. A slash at the end is dropped.
func cleanPath(path string) (string, error) {
	path = strings.TrimSuffix(path, "/")
	switch {
	case path == "":
		return "", errors.New("it is empty")
	case len(path) > maxPath:
		return "", fmt.Errorf("it has more than %d bytes", maxPath)
	case path[0] == '/':
		return "", errors.New("it is absolute")
	case strings.Contains(path, "\x00"):
		return "", errors.New("it contains a NUL")
	}
	for c := range strings.SplitSeq(path, "/") {
		if c == "" || c == "." || c == ".." {
			return "", fmt.Errorf("it has a component %q", c)
		}
	}
	return path, nil
}
