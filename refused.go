package main

import (
	"errors"
	"fmt"
	"maps"

	"github.com/reconquest/sould/internal/git"
)

// What an origin has can be dangerous for those who check it out (the key fsck). Only the
// refs that lead to such objects stay as they were; the pull brings all others, and has
// failed all the same, so that nobody takes the mirror for what the origin is.

// refusedRef is a ref whose value at the origin is refused.
type refusedRef struct {
	name string // HEAD, if that is detached
	id   string // of the object that it names there
	why  string
}

// refusedIDs are objects that a pull was refused, so that the next one need not fetch them
// to find out. Another configuration, and after a restart another git, may think otherwise.
type refusedIDs struct {
	by  *git.Git
	why map[string]string // by id
}

// known are those that still are refused.
func (r refusedIDs) known(by *git.Git) map[string]string {
	if r.by != by {
		return nil
	}
	return r.why
}

// refusedOf are what is to be remembered of these refs.
func refusedOf(by *git.Git, refs []refusedRef) refusedIDs {
	r := refusedIDs{by: by}
	for _, ref := range refs {
		if r.why == nil {
			r.why = make(map[string]string)
		}
		r.why[ref.id] = ref.why
	}
	return r
}

// leaveOut is an origin without what is refused of it: such a ref is what the mirror has of
// it, or is not there.
func leaveOut(now, origin git.Listing, patterns []RefPattern, refused map[string]string) (left git.Listing, out []refusedRef) {
	if len(refused) == 0 {
		return origin, nil
	}
	left.Head = origin.Head
	for _, ref := range origin.Refs {
		old, known := now.Find(ref.Name)
		why := refused[ref.ID]
		if why == "" || !selected(patterns, ref.Name) || known && old.ID == ref.ID {
			left.Refs = append(left.Refs, ref)
			continue
		}
		out = append(out, refusedRef{ref.Name, ref.ID, why})
		if known {
			left.Refs = append(left.Refs, old)
		}
	}
	if why := refused[origin.Head.ID]; why != "" && origin.Head.Detached() && origin.Head.ID != now.Head.ID {
		out = append(out, refusedRef{git.HeadName, origin.Head.ID, why})
		if left.Head = (git.Head{}); now.Head.Detached() {
			left.Head = now.Head
		}
	}
	return left, out
}

// maxRefused is how many refused refs are named.
const maxRefused = 10

// refusedRefs is why a pull has failed although it has brought all other refs.
type refusedRefs struct{ told *several }

func (r *refusedRefs) Error() string { return r.told.Error() }
func (r *refusedRefs) Unwrap() error { return r.told }

// newRefusedRefs tells of refs that are refused beside so many that are as the origin has
// them.
func newRefusedRefs(refs []refusedRef, others int) *refusedRefs {
	what := fmt.Sprintf("refused %d of %d refs, which stay as they were", len(refs), len(refs)+others)
	if others > 0 {
		what += "; all others are what the origin has"
	}
	told := &several{what: what}
	for _, ref := range refs[:min(len(refs), maxRefused)] {
		told.reasons = append(told.reasons, fmt.Errorf("%s leads to %s", ref.name, ref.why))
	}
	if n := len(refs) - maxRefused; n > 0 {
		told.reasons = append(told.reasons, fmt.Errorf("and %d more", n))
	}
	told.reasons = append(told.reasons, errors.New(`the key fsck says what is refused; "off" refuses nothing`))
	return &refusedRefs{told}
}

// brought is what is known beside a plan of what the origin has.
type brought struct {
	refused  []refusedRef
	others   int          // refs that will be as the origin has them
	warnings git.Warnings // of what was fetched
	origin   git.Head     // as the origin has it, refused or not
}

// plan is what is to be done with what is not known to be refused.
func (j *pullJob) plan(now, listing git.Listing) (plan, error) {
	left, refused := leaveOut(now, listing, j.set.Refs, j.refused)
	p, err := makePlan(now, left, j.set.Refs, j.req.Accept)
	if err != nil {
		if len(refused) > 0 {
			err = errors.Join(newRefusedRefs(refused, 0), err)
		}
		return p, err
	}
	p.brought = brought{refused: refused, warnings: j.warnings, origin: listing.Head}
	if len(refused) > 0 {
		wanted, _ := split(listing.Refs, j.set.Refs)
		p.others = max(len(wanted)-len(refused), 0)
	}
	return p, nil
}

// fetched notes what a fetch has to tell.
func (j *pullJob) fetched(f git.Fetched) {
	j.warnings = j.warnings.Add(f.Warnings)
	if len(f.Refused) > 0 && j.refused == nil {
		j.refused = make(map[string]string)
	}
	maps.Copy(j.refused, f.Refused)
}

// refusal is the error of a pull that has done what there was to do.
func (b brought) refusal() error {
	if len(b.refused) == 0 {
		return nil
	}
	return newRefusedRefs(b.refused, b.others)
}

// note notes in a mirror's file what was fetched and what was refused. The content is of the
// time that stands there, and the pull has failed.
func (b brought) note(f *stateFile) {
	f.Warnings = f.Warnings.Add(b.warnings)
	if err := b.refusal(); err != nil {
		f.Outcome, f.LastError = OutcomeFailed, err.Error()
	}
}

// stay are the refs of an old mirror that keep their values in the one that takes its
// place.
func (r *remains) stay(refused []refusedRef) (stay []git.Ref) {
	if r == nil {
		return nil
	}
	for _, ref := range refused {
		if old, ok := r.content.Find(ref.name); ok {
			stay = append(stay, old)
		}
	}
	return stay
}
