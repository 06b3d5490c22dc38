package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// plan is what a pull has to do so that a mirror becomes what its origin is.
type plan struct {
	fetch   []string    // ids of the objects that may be missing
	update  git.Update  // the change of refs and HEAD
	after   git.Listing // what the mirror holds then
	changed int         // refs created, moved or deleted
}

// nothing reports whether the mirror is what its origin is.
func (p plan) nothing() bool {
	return p.changed == 0 && p.update.Head == nil
}

// refusal is the reason for which a pull changes nothing although it could.
type refusal struct {
	have, deleted int
	empty         bool
	examples      []string
}

func (r *refusal) Error() string {
	what := fmt.Sprintf("the origin dropped %d of %d refs at once (%s)", r.deleted, r.have, strings.Join(r.examples, ", "))
	if r.empty {
		what = fmt.Sprintf("the origin is empty, and the mirror has %d refs (%s)", r.have, strings.Join(r.examples, ", "))
	}
	return what + "; nothing was changed. If this is meant, POST again with accept=deletions"
}

// A pull is refused if it would delete more than half of a mirror's refs and
// more than this number of them.
const tolerableDeletions = 10

// makePlan compares a mirror with its origin. Refs that the patterns do not
// select are left alone on both sides. The error is a *refusal.
func makePlan(now, origin git.Listing, patterns []RefPattern, acceptDeletions bool) (plan, error) {
	mine, others := split(now.Refs, patterns)
	wanted, _ := split(origin.Refs, patterns)

	var p plan
	for _, want := range wanted {
		if old, ok := now.Find(want.Name); !ok || old.ID != want.ID {
			p.update.Write = append(p.update.Write, want)
		}
	}
	for _, old := range mine {
		if _, ok := origin.Find(old.Name); !ok {
			p.update.Delete = append(p.update.Delete, old.Name)
		}
	}
	gone, empty := len(p.update.Delete), len(wanted) == 0 && len(mine) > 0
	if !acceptDeletions && (empty || gone > tolerableDeletions && 2*gone > len(mine)) {
		return plan{}, &refusal{len(mine), gone, empty, p.update.Delete[:min(3, gone)]}
	}

	p.changed = len(p.update.Write) + gone
	p.after.Refs = append(others, wanted...)
	slices.SortFunc(p.after.Refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	p.after.Head = chooseHead(now.Head, origin.Head, p.after.Refs)
	// A HEAD that names the same branch follows it by itself.
	if p.after.Head != now.Head && (p.after.Head.Detached() || p.after.Head.Ref != now.Head.Ref) {
		p.update.Head = &p.after.Head
	}
	p.fetch = missing(now, p.update)
	return p, nil
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

// missing lists the objects that an update names and no ref names already.
func missing(now git.Listing, u git.Update) []string {
	known := map[string]bool{now.Head.ID: true}
	for _, ref := range now.Refs {
		known[ref.ID] = true
	}
	names := u.Write
	if u.Head != nil && u.Head.Detached() {
		names = append(slices.Clip(names), git.Ref{ID: u.Head.ID})
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
// main, master or the only branch. A detached HEAD is followed as a commit.
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
	if before.Detached() { // that commit is no longer what the origin shows
		return git.Head{}
	}
	return git.Head{Ref: before.Ref}
}
