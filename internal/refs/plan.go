package refs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// Plan is what a pull has to do to make a mirror equal to its origin.
type Plan struct {
	Fetch  []string    // ids of the objects that may be missing
	Write  []git.Ref   // refs to create or move
	Remove []string    // names of the refs to delete
	Head   *git.Head   // the new HEAD; nil if it does not change
	After  git.Listing // the mirror after the pull; Peeled is empty for the refs in Write
	Tags   []string    // names of the refs in Write that are annotated tags at the origin
}

// Changed is the number of refs that are created, moved or deleted.
func (p Plan) Changed() int { return len(p.Write) + len(p.Remove) }

// Empty reports whether the mirror is already equal to its origin.
func (p Plan) Empty() bool { return p.Changed() == 0 && p.Head == nil }

// Refusal says why a pull must not change the mirror unless somebody accepts the deletions.
type Refusal struct {
	have, deleted int
	empty         bool
	examples      []string
}

func (r *Refusal) Error() string {
	what := fmt.Sprintf("the origin dropped %d of %d refs at once (%s)", r.deleted, r.have, strings.Join(r.examples, ", "))
	switch {
	case r.empty && r.have == 0: // see Rebuild
		what = "the origin is empty, and what the mirror had cannot be read"
	case r.empty:
		what = fmt.Sprintf("the origin is empty, and the mirror has %d refs (%s)", r.have, strings.Join(r.examples, ", "))
	}
	return what + "; nothing was changed. If this is meant, POST again with accept=deletions"
}

// tolerableDeletions is how many refs any pull may delete. A pull that deletes more is refused
// if these are more than half of the mirror's refs.
const tolerableDeletions = 10

// Acceptance says which deletions are carried out that would otherwise be refused: "" none,
// AcceptAll all, and a Fingerprint only those that lead to this fingerprint. A server sends its
// own fingerprint to others, so that they delete what it has deleted, and nothing that the
// origin may have lost since.
type Acceptance string

// AcceptAll accepts all deletions.
const AcceptAll Acceptance = "deletions"

// covers reports whether deletions are accepted that leave the mirror with these refs.
func (a Acceptance) covers(after git.Listing, patterns []Pattern) bool {
	return a == AcceptAll || a != "" && Fingerprint(a) == FingerprintOf(after, patterns)
}

// Make compares a mirror with its origin, and plans the pull. It ignores refs on both sides
// that the patterns do not select. The error is a [*Refusal], or says that refs cannot be
// stored together.
func Make(now, origin git.Listing, patterns []Pattern, accept Acceptance) (Plan, error) {
	have, others := Split(now.Refs, patterns)
	wanted, _ := Split(origin.Refs, patterns)

	var p Plan
	p.After.Refs = make([]git.Ref, 0, len(wanted)+len(others))
	inMirror, inOrigin := cursor(now), cursor(origin)
	for _, want := range wanted {
		old, known := inMirror(want.Name)
		if known && old.ID == want.ID {
			want.Peeled = old.Peeled
		} else {
			if want.Peeled != want.ID {
				p.Tags = append(p.Tags, want.Name)
			}
			want.Peeled = "" // to be read from the object: the origin may be wrong
			p.Write = append(p.Write, want)
		}
		p.After.Refs = append(p.After.Refs, want)
	}
	for _, old := range have {
		if _, ok := inOrigin(old.Name); !ok {
			p.Remove = append(p.Remove, old.Name)
		}
	}
	p.After.Refs = append(p.After.Refs, others...)
	slices.SortFunc(p.After.Refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	p.After.Head = ChooseHead(now.Head, origin.Head, p.After.Refs)

	gone, empty := len(p.Remove), len(wanted) == 0 && len(have) > 0
	if (empty || gone > tolerableDeletions && 2*gone > len(have)) && !accept.covers(p.After, patterns) {
		return Plan{}, &Refusal{len(have), gone, empty, p.Remove[:min(3, gone)]}
	}
	if len(p.Write) > 0 {
		if err := checkCompatible(p.After); err != nil {
			return Plan{}, err
		}
	}
	// A HEAD that names the same branch as before moves with the branch.
	if p.After.Head != now.Head && (p.After.Head.Detached() || p.After.Head.Ref != now.Head.Ref) {
		p.Head = &p.After.Head
	}
	p.Fetch = p.missing(now)
	return p, nil
}

// cursor returns a function like l.Find for names in ascending order, which is faster.
func cursor(l git.Listing) func(name string) (git.Ref, bool) {
	rest := l.Refs
	return func(name string) (git.Ref, bool) {
		for len(rest) > 0 && rest[0].Name < name {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0].Name != name {
			return git.Ref{}, false
		}
		return rest[0], true
	}
}

// Rebuild is Make for a mirror that replaces a damaged one. survivors are the refs of the
// damaged mirror that could be read; all reports whether it had no others. Rebuild refuses what
// Make refuses, and, unless all is set, also to make the mirror empty.
func Rebuild(survivors git.Listing, all bool, origin git.Listing, patterns []Pattern, accept Acceptance) (Plan, error) {
	p, err := Make(survivors, origin, patterns, accept)
	content, _ := Split(p.After.Refs, patterns)
	if err == nil && !all && len(content) == 0 && !accept.covers(p.After, patterns) {
		return Plan{}, &Refusal{empty: true}
	}
	return p, err
}

// missing returns the ids in the plan that no ref of the mirror names yet.
func (p Plan) missing(now git.Listing) []string {
	names := p.Write
	if p.Head != nil && p.Head.Detached() {
		names = append(slices.Clip(names), git.Ref{ID: p.Head.ID})
	}
	if len(names) == 0 {
		return nil
	}
	known := map[string]bool{now.Head.ID: true}
	for _, ref := range now.Refs {
		known[ref.ID] = true
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

// ChooseHead decides what a mirror's HEAD becomes. It names the branch that the origin's HEAD
// names; if that does not exist, the previous default branch, else main, master or the only
// branch. If the origin's HEAD is detached, so is the mirror's, at the same commit. If none of
// these branches exists, HEAD names a branch that does not exist: a repository must have a
// HEAD.
func ChooseHead(before, origin git.Head, refs []git.Ref) git.Head {
	if origin.Detached() {
		return origin
	}
	l := git.Listing{Refs: refs}
	candidates := []string{origin.Ref, before.Ref, "refs/heads/main", "refs/heads/master"}
	branches, branch := 0, ""
	for _, ref := range refs {
		if strings.HasPrefix(ref.Name, "refs/heads/") {
			branches, branch = branches+1, ref.Name
		}
	}
	if branches == 1 {
		candidates = append(candidates, branch)
	}
	for _, name := range candidates {
		if ref, ok := l.Find(name); ok && strings.HasPrefix(name, "refs/heads/") {
			return git.Head{Ref: name, ID: ref.ID}
		}
	}
	if before.Ref == "" { // there was no HEAD, or it was detached
		return git.Head{Ref: "refs/heads/main"}
	}
	return git.Head{Ref: before.Ref}
}
