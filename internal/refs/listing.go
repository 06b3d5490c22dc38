package refs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// Names reports whether HEAD or a ref names the object with this id, or an annotated tag that
// leads to it.
func Names(l git.Listing, id string) bool {
	return l.Head.ID == id || slices.ContainsFunc(l.Refs, func(r git.Ref) bool { return r.ID == id || r.Peeled == id })
}

// Join returns all refs of a mirror, sorted by name.
func Join(content, own []git.Ref) []git.Ref {
	all := append(slices.Clip(content), own...)
	slices.SortFunc(all, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Separate returns the refs that are a mirror's content, and those that clients must not see:
// sould's own refs, and replacements of objects (git-replace(1)).
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
func Split(refs []git.Ref, patterns []Pattern) (selectedRefs, others []git.Ref) {
	selectedRefs = make([]git.Ref, 0, len(refs)) // most are selected
	for _, ref := range refs {
		if selected(patterns, ref.Name) {
			selectedRefs = append(selectedRefs, ref)
		} else {
			others = append(others, ref)
		}
	}
	return selectedRefs, others
}

// checkCompatible returns an error if the name of a ref is a directory of another name, as a is
// of a/b: git cannot store both.
func checkCompatible(l git.Listing) error {
	// starts holds the previous name, and before it all names that it begins with. The previous
	// name alone is not enough: names are sorted, but a-b comes between a and a/c. After names
	// that this one does not begin with are removed, only the last one needs a look: if an
	// earlier one were a directory of this name, it would be a directory of the last one too.
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
