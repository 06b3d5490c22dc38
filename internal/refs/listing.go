package refs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// Names reports whether HEAD or a ref names the object with that id, or leads to it.
func Names(l git.Listing, id string) bool {
	return l.Head.ID == id || slices.ContainsFunc(l.Refs, func(r git.Ref) bool { return r.ID == id || r.Peeled == id })
}

// Join returns all refs of a mirror, sorted.
func Join(content, own []git.Ref) []git.Ref {
	all := append(slices.Clip(content), own...)
	slices.SortFunc(all, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Separate returns the refs that are a mirror's content, and those that clients must not
// see: sould's own, and those that would change what an id means.
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

// Split returns the refs that the patterns select, and the others.
func Split(refs []git.Ref, patterns []Pattern) (ours, others []git.Ref) {
	for _, ref := range refs {
		if selected(patterns, ref.Name) {
			ours = append(ours, ref)
		} else {
			others = append(others, ref)
		}
	}
	return ours, others
}

// checkCompatible checks that no ref's name is a directory of another one's, as a is of a/b:
// git cannot store both.
func checkCompatible(l git.Listing) error {
	// starts holds the previous name, and before it every earlier name that it begins
	// with. Names are sorted, but a-b stands between a and a/c, so the previous name alone
	// does not tell. Of those that this name begins with, it is enough to look at the last
	// one: an earlier one that were a directory of this name would be one of that as well.
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
