package refs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/git"
)

// Plan is what a pull has to do so that a mirror becomes what its origin is.
type Plan struct {
	Fetch  []string    // ids of the objects that may be missing
	Write  []git.Ref   // refs to create or move
	Remove []string    // refs to delete, by name
	Head   *git.Head   // what HEAD has to become; nil if it is right
	After  git.Listing // what the mirror holds then; what written refs lead to is to be looked up
	Tags   []string    // of what is written, the refs that are annotated tags, as the origin says
}

// Changed is the number of refs that are created, moved or deleted.
func (p Plan) Changed() int { return len(p.Write) + len(p.Remove) }

// Empty reports whether the mirror is what its origin is.
func (p Plan) Empty() bool { return p.Changed() == 0 && p.Head == nil }

// Refusal is the reason for which a pull changes nothing although it could.
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

// A pull is refused if it would delete more than half of a mirror's refs and
// more than this number of them.
const tolerableDeletions = 10

// Acceptance tells which deletions are carried out that would be refused without it: ""
// none, AcceptAll all, and a Fingerprint those that make the mirror what it is a digest
// of. With the last one a server asks others for what it has itself, and for nothing that
// the origin may have lost since.
type Acceptance string

const AcceptAll Acceptance = "deletions"

func (a Acceptance) Covers(after git.Listing, patterns []Pattern) bool {
	return a == AcceptAll || a != "" && Fingerprint(a) == FingerprintOf(after, patterns)
}

// Make compares a mirror with its origin. Refs that the patterns do not
// select are left alone on both sides.
func Make(now, origin git.Listing, patterns []Pattern, accept Acceptance) (Plan, error) {
	mine, others := Split(now.Refs, patterns)
	wanted, _ := Split(origin.Refs, patterns)

	var p Plan
	for _, want := range wanted {
		old, known := now.Find(want.Name)
		if known && old.ID == want.ID {
			want.Peeled = old.Peeled
		} else {
			if want.Peeled != want.ID {
				p.Tags = append(p.Tags, want.Name)
			}
			want.Peeled = "" // what it leads to is not for the origin to say
			p.Write = append(p.Write, want)
		}
		p.After.Refs = append(p.After.Refs, want)
	}
	for _, old := range mine {
		if _, ok := origin.Find(old.Name); !ok {
			p.Remove = append(p.Remove, old.Name)
		}
	}
	p.After.Refs = append(p.After.Refs, others...)
	slices.SortFunc(p.After.Refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	p.After.Head = ChooseHead(now.Head, origin.Head, p.After.Refs)

	gone, empty := len(p.Remove), len(wanted) == 0 && len(mine) > 0
	if (empty || gone > tolerableDeletions && 2*gone > len(mine)) && !accept.Covers(p.After, patterns) {
		return Plan{}, &Refusal{len(mine), gone, empty, p.Remove[:min(3, gone)]}
	}
	if len(p.Write) > 0 {
		if err := checkCompatible(p.After); err != nil {
			return Plan{}, err
		}
	}
	// A HEAD that names the same branch follows it by itself.
	if p.After.Head != now.Head && (p.After.Head.Detached() || p.After.Head.Ref != now.Head.Ref) {
		p.Head = &p.After.Head
	}
	p.Fetch = p.missing(now)
	return p, nil
}

// Rebuild is Make for a mirror that is built in the place of a damaged one, of which these
// refs survive. What would be refused if nothing were damaged is refused; and so is to become
// empty if there may have been more refs than survive.
func Rebuild(survivors git.Listing, all bool, origin git.Listing, patterns []Pattern, accept Acceptance) (Plan, error) {
	p, err := Make(survivors, origin, patterns, accept)
	content, _ := Split(p.After.Refs, patterns)
	if err == nil && !all && len(content) == 0 && !accept.Covers(p.After, patterns) {
		return Plan{}, &Refusal{empty: true}
	}
	return p, err
}

// missing lists the objects that the plan names and no ref names already.
func (p Plan) missing(now git.Listing) []string {
	known := map[string]bool{now.Head.ID: true}
	for _, ref := range now.Refs {
		known[ref.ID] = true
	}
	names := p.Write
	if p.Head != nil && p.Head.Detached() {
		names = append(slices.Clip(names), git.Ref{ID: p.Head.ID})
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

// ChooseHead decides which branch is a mirror's default one: that which the
// origin's HEAD names; if it names none that exists, the one from before, else
// main, master or the only branch. A detached HEAD is followed as a commit. Where
// there is no such branch, HEAD names one all the same that does not exist: a file
// must stand there, and what readers are told must be what it says.
func ChooseHead(before, origin git.Head, refs []git.Ref) git.Head {
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
