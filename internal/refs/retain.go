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

// What an origin replaces or deletes is kept for a time, so that nothing is lost to
// a mistaken force push: as refs of the mirror's own, which are not for clients, and
// which no garbage collection takes away. A ref refs/heads/x that one pull has taken
// away is kept as refs/sould/kept/<seconds>/heads/x. Every pull has a directory to
// itself, so that the names in it, which were beside each other before, fit.
const retainedPrefix = Own + "kept/"

// retainedHead stands for HEAD below such a directory. No ref that a pull takes away is kept as
// that: refs/sould/ is not an origin's.
const retainedHead = "sould/HEAD"

// Retained is a ref that the origin has replaced or deleted.
type Retained struct {
	Ref string    // its full name, or HEAD
	ID  string    // what it led to
	At  time.Time // when that was noticed
	dir string    // of the pull that did
}

// refName is what the ref is kept as.
func (k Retained) refName() string {
	rest := strings.TrimPrefix(k.Ref, "refs/")
	if k.Ref == "HEAD" {
		rest = retainedHead
	}
	return retainedPrefix + k.dir + "/" + rest
}

// Bounds of what is kept of a mirror: each pull that changes something writes it anew.
const (
	maxRetained       = 10_000 // refs; those that one pull has lost may be more
	maxRetainedValues = 1_000  // of one ref, such as a tag that each build moves
)

// Limits say how much is kept of a mirror, and for how long.
type Limits struct {
	Span         time.Duration
	Refs, Values int
}

// LimitsFor are the limits of a server that keeps things for so long.
func LimitsFor(span time.Duration) Limits { return Limits{span, maxRetained, maxRetainedValues} }

// RetainedAmong are the refs that are kept among a mirror's own, the oldest first.
func RetainedAmong(own []git.Ref) []Retained {
	var kept []Retained
	for _, ref := range own {
		if k, ok := parseRetained(ref); ok {
			kept = append(kept, k)
		}
	}
	slices.SortStableFunc(kept, func(a, b Retained) int {
		return cmp.Or(a.At.Compare(b.At), len(a.dir)-len(b.dir), strings.Compare(a.dir, b.dir)) // 100, 100-2, 100-10
	})
	return kept
}

// parseRetained tells what a ref of the mirror's own keeps, if it does.
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

// Retain is what a mirror's own refs become when these refs are lost now: what has been
// kept for long enough goes, and what there are too many of goes early. A ref that was
// lost with the same value before, as by an origin that flaps, is kept once.
func Retain(own, lost []git.Ref, now time.Time, most Limits) (after []git.Ref, early int) {
	if most.Span <= 0 {
		lost = nil
	}
	again := make(map[[2]string]bool)
	for _, ref := range lost {
		again[[2]string{ref.Name, ref.ID}] = true
	}
	own = slices.DeleteFunc(slices.Clone(own), func(ref git.Ref) bool {
		k, ok := parseRetained(ref)
		return ok && (!k.At.Add(most.Span).After(now) || again[[2]string{k.Ref, ref.ID}])
	})
	goes := evicted(own, lost, most)
	taken := make(map[string]bool) // directories
	for _, ref := range own {
		if goes[ref.Name] {
			continue
		}
		if rest, ok := strings.CutPrefix(ref.Name, retainedPrefix); ok { // whoever has made it
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
		if !git.IsRefName(name) { // it was as long as a name can be
			name = retainedPrefix + dir + "/too-long/" + ref.ID
		}
		ref.Name = name
		after = append(after, ref)
	}
	slices.SortFunc(after, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(after, func(a, b git.Ref) bool { return a.Name == b.Name }), len(goes)
}

// evicted names those of the mirror's own refs for which there is no place beside what
// is lost now. The latest stay. What one pull has lost has a place as long as there was
// one when it was lost, and goes as a whole when others have filled it since: a deletion
// of many refs that somebody has accepted by mistake can be undone as a whole.
func evicted(own, lost []git.Ref, most Limits) map[string]bool {
	values := make(map[string]int) // of each ref
	for _, ref := range lost {
		values[ref.Name]++
	}
	goes := make(map[string]bool)
	stay, later, dir := len(lost), 0, ""
	for _, k := range slices.Backward(RetainedAmong(own)) {
		if k.dir != dir {
			dir, later = k.dir, stay
		}
		if values[k.Ref]++; values[k.Ref] > most.Values || later >= most.Refs {
			goes[k.refName()] = true
		} else {
			stay++
		}
	}
	return goes
}

// Moved is a ref that a plan gives another value.
type Moved struct {
	From git.Ref
	To   []string // ids in whose history it may still be
}

// Losses are the refs that a plan takes away, and those that it moves, of which only
// the history can tell whether anything is lost. A tag is not meant to move: whatever
// it becomes, it is lost. A HEAD that is detached may be the only name of its commit.
func Losses(now git.Listing, p Plan) (lost []git.Ref, asks []Moved) {
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
			asks = append(asks, Moved{old, []string{ref.ID}})
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
		asks = append(asks, head)
	}
	return lost, asks
}
