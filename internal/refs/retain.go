package refs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// Refs that an origin replaces or deletes are retained for a time, so that a mistaken force
// push loses nothing. They become refs of sould's own, which clients do not see, and which keep
// the objects from garbage collection. If a pull loses refs/heads/x, it is retained as
// refs/sould/kept/<seconds>/heads/x. Each pull has its own directory: its names existed side by
// side before, so that none of them is a directory of another.
const retainedPrefix = Own + "kept/"

// retainedHead is the name of HEAD in such a directory. No other lost ref can have it: refs
// below refs/sould/ are never taken from an origin.
const retainedHead = "sould/HEAD"

// Retained is a ref that the origin has replaced or deleted.
type Retained struct {
	Ref string    // the full name, or HEAD
	ID  string    // the object that it led to
	At  time.Time // when a pull replaced or deleted it
	dir string    // the directory of that pull
}

// refName is the full name under which the ref is retained.
func (k Retained) refName() string {
	rest := strings.TrimPrefix(k.Ref, "refs/")
	if k.Ref == "HEAD" {
		rest = retainedHead
	}
	return retainedPrefix + k.dir + "/" + rest
}

// Bounds for each mirror: a pull that changes something writes all retained refs.
const (
	maxRetained       = 10_000 // refs; a single pull may lose more
	maxRetainedValues = 1_000  // of one ref, such as a tag that each build moves
)

// Limits say how long refs are retained, and how many.
type Limits struct {
	span         time.Duration
	refs, values int // in all; of one ref
}

// LimitsFor returns the limits for refs that are retained for this time.
func LimitsFor(span time.Duration) Limits { return Limits{span, maxRetained, maxRetainedValues} }

// RetainedAmong returns the retained refs among a mirror's own refs, oldest first.
func RetainedAmong(own []git.Ref) []Retained {
	var all []Retained
	for _, ref := range own {
		if k, ok := parseRetained(ref); ok {
			all = append(all, k)
		}
	}
	slices.SortStableFunc(all, func(a, b Retained) int {
		return cmp.Or(a.At.Compare(b.At), len(a.dir)-len(b.dir), strings.Compare(a.dir, b.dir)) // 100, 100-2, 100-10
	})
	return all
}

// parseRetained parses one of a mirror's own refs. ok is false if it is no retained ref.
func parseRetained(ref git.Ref) (k Retained, ok bool) {
	rest, ok := strings.CutPrefix(ref.Name, retainedPrefix)
	if !ok {
		return k, false
	}
	dir, name, _ := strings.Cut(rest, "/")
	text, _, _ := strings.Cut(dir, "-")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || name == "" {
		return k, false
	}
	if name = "refs/" + name; name == "refs/"+retainedHead {
		name = "HEAD"
	}
	return Retained{name, cmp.Or(ref.Peeled, ref.ID), time.Unix(seconds, 0).UTC(), dir}, true
}

// Retain returns a mirror's own refs after a pull has lost these refs. It removes refs that
// were retained long enough. If there are too many, it removes the oldest early, and returns
// how many. If a ref was lost with the same value before, as with an origin that alternates
// between two states, only the new loss is retained.
func Retain(own, lost []git.Ref, now time.Time, limits Limits) (after []git.Ref, early int) {
	if limits.span <= 0 {
		lost = nil
	}
	again := make(map[[2]string]bool)
	for _, ref := range lost {
		again[[2]string{ref.Name, ref.ID}] = true
	}
	own = slices.DeleteFunc(slices.Clone(own), func(ref git.Ref) bool {
		k, ok := parseRetained(ref)
		return ok && (!k.At.Add(limits.span).After(now) || again[[2]string{k.Ref, ref.ID}])
	})
	removed := evicted(own, lost, limits)
	taken := make(map[string]bool) // directories that exist
	for _, ref := range own {
		if removed[ref.Name] {
			continue
		}
		if rest, ok := strings.CutPrefix(ref.Name, retainedPrefix); ok { // whether or not it is a retained ref
			dir, _, _ := strings.Cut(rest, "/")
			taken[dir] = true
		}
		after = append(after, ref)
	}
	dir := strconv.FormatInt(now.Unix(), 10)
	for i := 1; taken[dir]; i++ {
		dir = fmt.Sprintf("%d-%d", now.Unix(), i)
	}
	for _, ref := range lost {
		name := Retained{Ref: ref.Name, dir: dir}.refName()
		if !git.IsRefName(name) { // too long with the prefix
			name = retainedPrefix + dir + "/too-long/" + ref.ID
		}
		ref.Name = name
		after = append(after, ref)
	}
	slices.SortFunc(after, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(after, func(a, b git.Ref) bool { return a.Name == b.Name }), len(removed)
}

// evicted returns the names of the retained refs that must make room for those of this pull.
// The latest stay. The refs of one pull stay or go together: if somebody accepts a deletion of
// many refs by mistake, all of them can be restored, even if they are more than limits.refs.
func evicted(own, lost []git.Ref, limits Limits) map[string]bool {
	values := make(map[string]int) // how many values of each ref stay
	for _, ref := range lost {
		values[ref.Name]++
	}
	names := make(map[string]bool)
	stay, later, dir := len(lost), 0, "" // later is how many refs of later pulls stay
	for _, k := range slices.Backward(RetainedAmong(own)) {
		if k.dir != dir {
			dir, later = k.dir, stay
		}
		if values[k.Ref]++; values[k.Ref] > limits.values || later >= limits.refs {
			names[k.refName()] = true
		} else {
			stay++
		}
	}
	return names
}

// Moved is a ref that a plan moves. Its old value is lost unless it is in the history of the
// new ones.
type Moved struct {
	From git.Ref
	To   []string // ids of the new values
}

// Losses returns the refs that a plan certainly loses, and those that it moves, for which only
// the history can tell. Tags are not meant to move, so a moved tag is always lost. A detached
// HEAD may be the only name of its commit, so it counts as moved.
func Losses(now git.Listing, p Plan) (lost []git.Ref, moved []Moved) {
	for _, name := range p.Remove {
		if old, ok := now.Find(name); ok {
			lost = append(lost, old)
		}
	}
	for _, ref := range p.Write {
		old, ok := now.Find(ref.Name)
		switch {
		case !ok:
		case strings.HasPrefix(old.Name, "refs/tags/"), old.Peeled != old.ID:
			lost = append(lost, old)
		default:
			moved = append(moved, Moved{old, []string{ref.ID}})
		}
	}
	if old := now.Head; old.Detached() && !Names(p.After, old.ID) {
		head := Moved{From: git.Ref{Name: "HEAD", ID: old.ID, Peeled: old.ID}}
		if p.After.Head.Detached() {
			head.To = append(head.To, p.After.Head.ID)
		}
		for _, ref := range p.After.Refs {
			head.To = append(head.To, ref.ID)
		}
		moved = append(moved, head)
	}
	return lost, moved
}
