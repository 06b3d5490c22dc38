package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// plan is what a pull has to do so that a mirror becomes what its origin is.
type plan struct {
	fetch  []string    // ids of the objects that may be missing
	write  []git.Ref   // refs to create or move
	remove []string    // refs to delete, by name
	head   *git.Head   // what HEAD has to become; nil if it is right
	after  git.Listing // what the mirror holds then; what written refs lead to is to be looked up
	tags   []string    // of what is written, the refs that are annotated tags, as the origin says
	brought
}

// changed is the number of refs that are created, moved or deleted.
func (p plan) changed() int { return len(p.write) + len(p.remove) }

// nothing reports whether the mirror is what its origin is.
func (p plan) nothing() bool { return p.changed() == 0 && p.head == nil }

// refusal is the reason for which a pull changes nothing although it could.
type refusal struct {
	have, deleted int
	empty         bool
	examples      []string
}

func (r *refusal) Error() string {
	what := fmt.Sprintf("the origin dropped %d of %d refs at once (%s)", r.deleted, r.have, strings.Join(r.examples, ", "))
	switch {
	case r.empty && r.have == 0: // see remains.plan
		what = "the origin is empty, and what the mirror had cannot be read"
	case r.empty:
		what = fmt.Sprintf("the origin is empty, and the mirror has %d refs (%s)", r.have, strings.Join(r.examples, ", "))
	}
	return what + "; nothing was changed. If this is meant, POST again with accept=deletions"
}

// A pull is refused if it would delete more than half of a mirror's refs and
// more than this number of them.
const tolerableDeletions = 10

// acceptance tells which deletions are carried out that would be refused without it: ""
// none, acceptAll all, and a Fingerprint those that make the mirror what it is a digest
// of. With the last one a server asks others for what it has itself, and for nothing that
// the origin may have lost since.
type acceptance string

const acceptAll acceptance = "deletions"

func (a acceptance) covers(after git.Listing, patterns []RefPattern) bool {
	return a == acceptAll || a != "" && Fingerprint(a) == fingerprint(after, patterns)
}

// makePlan compares a mirror with its origin. Refs that the patterns do not
// select are left alone on both sides.
func makePlan(now, origin git.Listing, patterns []RefPattern, accept acceptance) (plan, error) {
	mine, others := split(now.Refs, patterns)
	wanted, _ := split(origin.Refs, patterns)

	var p plan
	for _, want := range wanted {
		old, known := now.Find(want.Name)
		if known && old.ID == want.ID {
			want.Peeled = old.Peeled
		} else {
			if want.Peeled != want.ID {
				p.tags = append(p.tags, want.Name)
			}
			want.Peeled = "" // what it leads to is not for the origin to say
			p.write = append(p.write, want)
		}
		p.after.Refs = append(p.after.Refs, want)
	}
	for _, old := range mine {
		if _, ok := origin.Find(old.Name); !ok {
			p.remove = append(p.remove, old.Name)
		}
	}
	p.after.Refs = append(p.after.Refs, others...)
	slices.SortFunc(p.after.Refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	p.after.Head = chooseHead(now.Head, origin.Head, p.after.Refs)

	gone, empty := len(p.remove), len(wanted) == 0 && len(mine) > 0
	if (empty || gone > tolerableDeletions && 2*gone > len(mine)) && !accept.covers(p.after, patterns) {
		return plan{}, &refusal{len(mine), gone, empty, p.remove[:min(3, gone)]}
	}
	if len(p.write) > 0 {
		if err := compatible(p.after); err != nil {
			return plan{}, err
		}
	}
	// A HEAD that names the same branch follows it by itself.
	if p.after.Head != now.Head && (p.after.Head.Detached() || p.after.Head.Ref != now.Head.Ref) {
		p.head = &p.after.Head
	}
	p.fetch = p.missing(now)
	return p, nil
}

// compatible checks that no ref's name is a directory of another one's: git cannot
// keep such refs.
func compatible(l git.Listing) error {
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

// split separates the refs that the patterns select from the others.
func split(refs []git.Ref, patterns []RefPattern) (ours, others []git.Ref) {
	for _, ref := range refs {
		if selected(patterns, ref.Name) {
			ours = append(ours, ref)
		} else {
			others = append(others, ref)
		}
	}
	return ours, others
}

// missing lists the objects that the plan names and no ref names already.
func (p plan) missing(now git.Listing) []string {
	known := map[string]bool{now.Head.ID: true}
	for _, ref := range now.Refs {
		known[ref.ID] = true
	}
	names := p.write
	if p.head != nil && p.head.Detached() {
		names = append(slices.Clip(names), git.Ref{ID: p.head.ID})
	}
	var ids []string
	for _, ref := range names {
		if !known[ref.ID] {
			known[ref.ID] = true
			ids = append(ids, ref.ID)
		}
	}
	return ids
}

// chooseHead decides which branch is a mirror's default one: that which the
// origin's HEAD names; if it names none that exists, the one from before, else
// main, master or the only branch. A detached HEAD is followed as a commit. Where
// there is no such branch, HEAD names one all the same that does not exist: a file
// must stand there, and what readers are told must be what it says.
func chooseHead(before, origin git.Head, refs []git.Ref) git.Head {
	if origin.Detached() {
		return origin
	}
	l := git.Listing{Refs: refs}
	candidates := []string{origin.Ref, before.Ref, "refs/heads/main", "refs/heads/master"}
	var branches []string
	for _, ref := range refs {
		if strings.HasPrefix(ref.Name, "refs/heads/") {
			branches = append(branches, ref.Name)
		}
	}
	if len(branches) == 1 {
		candidates = append(candidates, branches[0])
	}
	for _, name := range candidates {
		if ref, ok := l.Find(name); ok && strings.HasPrefix(name, "refs/heads/") {
			return git.Head{Ref: name, ID: ref.ID}
		}
	}
	if before.Ref == "" { // nothing yet, or a commit that is no longer what the origin shows
		return git.Head{Ref: "refs/heads/main"}
	}
	return git.Head{Ref: before.Ref}
}
