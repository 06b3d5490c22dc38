package archive

import (
	"slices"
	"strings"
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
