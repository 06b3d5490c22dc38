package refs

import "github.com/reconquest/sould/internal/git"

// Refused is a ref whose value at the origin is refused (see [git.Fsck]).
type Refused struct {
	Name string // in full; HEAD if a detached HEAD is refused
	ID   string // the object that it names at the origin
	Why  string
}

// LeaveOut returns the origin's refs without the refused ones; reasons are by the ids of
// objects. A refused ref keeps the mirror's value, or is left out if the mirror does not have
// it.
func LeaveOut(now, origin git.Listing, patterns []Pattern, reasons map[string]string) (left git.Listing, out []Refused) {
	if len(reasons) == 0 {
		return origin, nil
	}
	left.Head = origin.Head
	for _, ref := range origin.Refs {
		old, known := now.Find(ref.Name)
		why := reasons[ref.ID]
		if why == "" || !selected(patterns, ref.Name) || known && old.ID == ref.ID {
			left.Refs = append(left.Refs, ref)
			continue
		}
		out = append(out, Refused{ref.Name, ref.ID, why})
		if known {
			left.Refs = append(left.Refs, old)
		}
	}
	if why := reasons[origin.Head.ID]; why != "" && origin.Head.Detached() && origin.Head.ID != now.Head.ID {
		out = append(out, Refused{git.HeadName, origin.Head.ID, why})
		if left.Head = (git.Head{}); now.Head.Detached() {
			left.Head = now.Head
		}
	}
	return left, out
}
