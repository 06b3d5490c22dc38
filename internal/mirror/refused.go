package mirror

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/refs"
)

// Objects of an origin can be dangerous for those who check them out (the key fsck). Refs that
// lead to such objects stay as they were. The pull brings all other refs, but has failed all the
// same, because the mirror is not what the origin is.

// refusedIDs are the objects that the latest pull refused, so that the next one need not fetch
// them again. They are forgotten when the configuration changes and at a restart: git may judge
// otherwise then.
type refusedIDs struct {
	judge *git.Git
	why   map[string]string // by id
}

// stillRefused returns the reasons by id, if judge is the one that refused the objects.
func (r refusedIDs) stillRefused(judge *git.Git) map[string]string {
	if r.judge != judge {
		return nil
	}
	return r.why
}

// newRefusedIDs returns the ids of refused refs.
func newRefusedIDs(judge *git.Git, all []refs.Refused) refusedIDs {
	r := refusedIDs{judge: judge}
	for _, ref := range all {
		if r.why == nil {
			r.why = make(map[string]string)
		}
		r.why[ref.ID] = ref.Why
	}
	return r
}

// maxRefused is how many refused refs an error names.
const maxRefused = 10

// refusedRefs is the error of a pull that refused refs.
type refusedRefs struct{ err error }

func (r *refusedRefs) Error() string { return r.err.Error() }
func (r *refusedRefs) Unwrap() error { return r.err }

// newRefusedRefs returns an error that names the refused refs; others is how many refs are as
// the origin has them.
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

// fetchedPlan is a plan whose objects were fetched, without the refused refs.
type fetchedPlan struct {
	refs.Plan
	refused  []refs.Refused
	others   int          // refs that will be as the source has them
	warnings git.Warnings // about the fetched objects
	head     git.Head     // as the source has it, refused or not
}

// plan returns what is to be done with the refs that are not known to be refused.
func (j *pullJob) plan(now, listing git.Listing) (fetchedPlan, error) {
	left, refused := refs.LeaveOut(now, listing, j.opts.Refs, j.refused)
	p, err := refs.Make(now, left, j.opts.Refs, j.req.Accept)
	if err != nil {
		if len(refused) > 0 {
			err = errors.Join(newRefusedRefs(refused, 0), err)
		}
		return fetchedPlan{}, err
	}
	b := fetchedPlan{Plan: p, refused: refused, warnings: j.warnings, head: listing.Head}
	if len(refused) > 0 {
		wanted, _ := refs.Split(listing.Refs, j.opts.Refs)
		b.others = max(len(wanted)-len(refused), 0)
	}
	return b, nil
}

// recordFetched records the refusals and the warnings of a fetch.
func (j *pullJob) recordFetched(f git.Fetched) {
	j.warnings = j.warnings.Add(f.Warnings)
	if len(f.Refused) > 0 && j.refused == nil {
		j.refused = make(map[string]string)
	}
	maps.Copy(j.refused, f.Refused)
}

// refusal returns the error of a pull that was otherwise successful, or nil.
func (b fetchedPlan) refusal() error {
	if len(b.refused) == 0 {
		return nil
	}
	return newRefusedRefs(b.refused, b.others)
}

// recordIn records the warnings and refusals in a mirror's state, after setSource. With refusals the
// pull has failed, but the date of the content stays that of this pull.
func (b fetchedPlan) recordIn(s *stateFile) {
	s.Warnings = s.Warnings.Add(b.warnings)
	if err := b.refusal(); err != nil {
		s.Outcome, s.LastError = Failed, err.Error()
	}
	switch {
	case s.Outcome == Success:
		s.Failing = time.Time{}
	case s.Failing.IsZero():
		s.Failing = time.Now()
	}
}

// unchanged returns the refs of an old mirror that keep their values in the new one because the
// source's values of them are refused.
func (o *survivors) unchanged(refused []refs.Refused) (stay []git.Ref) {
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
