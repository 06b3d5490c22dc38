package refs

import "github.com/reconquest/sould/internal/git"

// Refused is a ref whose value at the origin is refused (see [git.Fsck]).
type Refused struct {
	Name string // HEAD, if that is detached
	ID   string // of the object that it names there
	Why  string
}

// LeaveOut is an origin without what is refused of it, by the reasons for ids of objects: such
// a ref is what the mirror has of it, or is not there.
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
