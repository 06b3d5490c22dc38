package refs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// Names reports whether a ref or HEAD names the object of that id.
func Names(l git.Listing, id string) bool {
	return l.Head.ID == id || slices.ContainsFunc(l.Refs, func(r git.Ref) bool { return r.ID == id || r.Peeled == id })
}

// Join is all refs of a mirror, sorted.
func Join(content, own []git.Ref) []git.Ref {
	all := append(slices.Clip(content), own...)
	slices.SortFunc(all, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Separate takes apart what is a mirror's content and the refs that are not for
// clients: the server's own, and those that would change what an id means.
func Separate(refs []git.Ref) (content, own []git.Ref) {
	for _, ref := range refs {
		if strings.HasPrefix(ref.Name, Own) || strings.HasPrefix(ref.Name, Replace) {
			own = append(own, ref)
		} else {
			content = append(content, ref)
		}
	}
	return content, own
}

// Split separates the refs that the patterns select from the others.
func Split(refs []git.Ref, patterns []Pattern) (ours, others []git.Ref) {
	for _, ref := range refs {
		if Selected(patterns, ref.Name) {
			ours = append(ours, ref)
		} else {
			others = append(others, ref)
		}
	}
	return ours, others
}

// checkCompatible checks that no ref's name is a directory of another one's: git cannot
// keep such refs.
func checkCompatible(l git.Listing) error {
	// The names that the one before begins with, itself the last. Names are sorted, but
	// a-b stands between a and a/c. It is enough to look at the last one: if an earlier
	// one were a directory of this name, it would be one of the last, too.
	var starts []string
	for _, ref := range l.Refs {
		for len(starts) > 0 {
			last := starts[len(starts)-1]
			rest, begins := strings.CutPrefix(ref.Name, last)
			if begins && strings.HasPrefix(rest, "/") {
				return fmt.Errorf("the ref %s cannot be beside %s", ref.Name, last)
			}
			if begins {
				break
			}
			starts = starts[:len(starts)-1]
		}
		starts = append(starts, ref.Name)
	}
	return nil
}
