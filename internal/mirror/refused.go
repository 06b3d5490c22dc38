package mirror

import (
	"errors"
	"fmt"
	"maps"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
)

// What an origin has can be dangerous for those who check it out (the key fsck). Only the
// refs that lead to such objects stay as they were; the pull brings all others, and has
// failed all the same, so that nobody takes the mirror for what the origin is.

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

// refusedBy are what is to be remembered of these refs.
func refusedBy(by *git.Git, all []refs.Refused) refusedIDs {
	r := refusedIDs{by: by}
	for _, ref := range all {
		if r.why == nil {
			r.why = make(map[string]string)
		}
		r.why[ref.ID] = ref.Why
	}
	return r
}

// maxRefused is how many refused refs are named.
const maxRefused = 10

// refusedRefs is why a pull has failed although it has brought all other refs.
type refusedRefs struct{ told error }

func (r *refusedRefs) Error() string { return r.told.Error() }
func (r *refusedRefs) Unwrap() error { return r.told }

// newRefusedRefs tells of refs that are refused beside so many that are as the origin has
// them.
func newRefusedRefs(all []refs.Refused, others int) *refusedRefs {
	what := fmt.Sprintf("refused %d of %d refs, which stay as they were", len(all), len(all)+others)
	if others > 0 {
		what += "; all others are what the origin has"
	}
	var reasons []error
	for _, ref := range all[:min(len(all), maxRefused)] {
		reasons = append(reasons, fmt.Errorf("%s leads to %s", ref.Name, ref.Why))
	}
	if n := len(all) - maxRefused; n > 0 {
		reasons = append(reasons, fmt.Errorf("and %d more", n))
	}
	reasons = append(reasons, errors.New(`the key fsck says what is refused; "off" refuses nothing`))
	return &refusedRefs{errtext.Several(what, reasons...)}
}

// brought is the result of the fetch: the plan, the refused refs, and git's warnings.
type brought struct {
	refs.Plan
	refused  []refs.Refused
	others   int          // refs that will be as the source has them
	warnings git.Warnings // of what was fetched
	head     git.Head     // as the source has it, refused or not
}

// plan is what is to be done with what is not known to be refused.
func (j *pullJob) plan(now, listing git.Listing) (brought, error) {
	left, refused := refs.LeaveOut(now, listing, j.opts.Refs, j.refused)
	p, err := refs.Make(now, left, j.opts.Refs, j.req.Accept)
	if err != nil {
		if len(refused) > 0 {
			err = errors.Join(newRefusedRefs(refused, 0), err)
		}
		return brought{}, err
	}
	b := brought{Plan: p, refused: refused, warnings: j.warnings, head: listing.Head}
	if len(refused) > 0 {
		wanted, _ := refs.Split(listing.Refs, j.opts.Refs)
		b.others = max(len(wanted)-len(refused), 0)
	}
	return b, nil
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

// describe notes in a mirror's state what was fetched and what was refused. The content is of
// the time that stands there, and the pull has failed.
func (b brought) describe(s *stateFile) {
	s.Warnings = s.Warnings.Add(b.warnings)
	if err := b.refusal(); err != nil {
		s.Outcome, s.LastError = Failed, err.Error()
	}
}

// unmoved are the refs of an old mirror that keep their values in the one that takes its
// place, since what the source has of them is refused.
func (o *survivors) unmoved(refused []refs.Refused) (stay []git.Ref) {
	if o == nil {
		return nil
	}
	for _, ref := range refused {
		if old, ok := o.content.Find(ref.Name); ok {
			stay = append(stay, old)
		}
	}
	return stay
}
