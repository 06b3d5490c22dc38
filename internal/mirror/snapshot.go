package mirror

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
)

// Outcome is how the latest pull of a mirror ended.
type Outcome string

const (
	Unknown Outcome = "unknown" // the mirror was never pulled here
	Success Outcome = "success"
	Failed  Outcome = "failed"
)

// Snapshot is all that a reader needs to know about a mirror, at one moment. It never changes; a
// pull replaces it. A reader loads it once, and so sees all refs of one pull.
type Snapshot struct {
	git.Listing                  // the refs on disk, all but refs/sould/ and refs/replace/
	Fingerprint refs.Fingerprint // of the refs that the configuration selects
	Outcome     Outcome          // of the latest pull
	Pulled      time.Time        // when the latest successful pull asked for refs; zero for none
	changed     time.Time        // when refs last changed on disk, for a mirror never pulled
	LastError   string           // of the latest pull, if it failed
	Failing     time.Time        // since when pulls fail; zero if the latest has not failed, or if that is not known
	From        string           // the peer that the latest successful pull has read; empty for the origin
	Origin      origin.URL       // not Known for a copied-in mirror without one
	Formers     []origin.URL     // the origins before the mirror was moved, the latest first
	Wanted      time.Time        // when somebody last asked for the mirror, on any server; zero for never
	WantedBy    string           // the address from which that request came here; empty if it is not known
	Accepted    time.Time        // when the latest pull with accepted deletions asked for refs; zero for none
	Removed     time.Time        // when the previous mirror of this name was deleted; zero if there was none
	Checked     time.Time        // when all objects were last checked; zero for never
	CheckError  string           // the damage that was found then; empty for none
	Shallow     bool             // the history is cut off (gitrepository-layout(5)), as that of the origin may be
	OnDemand    bool             // a read has made the mirror, and nobody has POSTed it since
	Made        time.Time        // when a read has made the mirror; zero if none has
	MadeBy      string           // the address of that reader
	Gone        time.Time        // when the origin was deleted, as GoneBy says; zero if it is there as far as is known
	GoneBy      string           // such as "the webhook github"
	Hook        Hook             // that announces changes
	Warnings    git.Warnings     // about objects that git dislikes
	Rebuilt     time.Time        // when the mirror was last rebuilt because of damage; zero for never
	Retained    []refs.Retained  // refs that the origin has replaced or deleted, the oldest first
	DateText    string           // Date in HTTP's format (RFC 9110, 5.6.7), for every answer
	stamp       string           // of the refs on disk (git.Repo.Stamp)
}

// withState returns a copy of the snapshot with the facts of a state.
func (s Snapshot) withState(state *stateFile) *Snapshot {
	s.Outcome, s.Pulled, s.LastError, s.From = state.Outcome, state.Pulled, state.LastError, state.From
	if s.Outcome == "" {
		s.Outcome = Unknown
	}
	s.Origin, s.Formers = state.origin(), state.formers()
	s.Failing, s.WantedBy = state.Failing, state.WantedBy
	s.Wanted, s.Accepted, s.Removed = state.Wanted, state.Accepted, state.Removed
	s.Checked, s.CheckError, s.Rebuilt = state.Checked, state.CheckError, state.Rebuilt
	s.Made, s.MadeBy = state.Made, state.MadeBy
	s.OnDemand, s.Gone, s.GoneBy, s.Hook = state.OnDemand, state.Gone, state.GoneBy, state.Hook
	s.Warnings = state.Warnings
	s.DateText = s.Date().UTC().Format(httpDate)
	return &s
}

// Date returns when the mirror was last pulled successfully or, if it never was, when its refs
// last changed on disk.
func (s *Snapshot) Date() time.Time {
	if s.Pulled.IsZero() {
		return s.changed
	}
	return s.Pulled
}

// httpDate is the layout of HTTP's dates (RFC 9110, 5.6.7).
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// date formats a time for people.
func date(t time.Time) string {
	if t.IsZero() {
		return "an unknown date"
	}
	return t.UTC().Format(httpDate)
}

// empty reports whether the mirror has neither a ref nor a commit in HEAD.
func (s *Snapshot) empty() bool { return len(s.Refs) == 0 && s.Head.ID == "" }

// Errors of Resolve.
var (
	ErrEmpty      = errors.New("the mirror is empty: its origin has no commits yet")
	ErrNoDefault  = errors.New("the mirror has no default branch; name a branch with ?ref=")
	ErrUnknownRef = errors.New("no such branch, tag or commit")
)

// isTip reports whether an object is a branch's, and so certainly a commit. Clients that were told
// of a push ask for such a commit.
func (s *Snapshot) isTip(id string) bool {
	return slices.ContainsFunc(s.Refs, func(ref git.Ref) bool { return ref.ID == id && strings.HasPrefix(ref.Name, "refs/heads/") })
}

// Named returns the ref that a client calls by its full name, or by that of a branch or a tag. The
// error is ErrUnknownRef.
func (s *Snapshot) Named(ref string) (git.Ref, error) {
	for _, name := range []string{ref, "refs/heads/" + ref, "refs/tags/" + ref} {
		if found, ok := s.Find(name); ok {
			return found, nil
		}
	}
	return git.Ref{}, ErrUnknownRef
}

// Resolve finds what a client calls ref: a full object id, a full ref name, a branch or a tag,
// in this order; or, if ref is empty, the default branch. It returns the object's id, and
// whether that is from a branch and so certainly a commit.
//
// A full id is returned as it is, also if the mirror may lack it, even if the mirror is empty:
// it may have retained the object. fallback is then the object of the branch or tag that has
// the id as its name, or "" if there is none.
//
// The error is ErrEmpty, ErrNoDefault or ErrUnknownRef.
func (s *Snapshot) Resolve(ref string) (id, fallback string, branch bool, err error) {
	if s.empty() && !git.IsID(ref) {
		return "", "", false, ErrEmpty
	}
	if ref == "" {
		if s.Head.ID == "" {
			return "", "", false, ErrNoDefault
		}
		return s.Head.ID, "", true, nil
	}
	if found, err := s.Named(ref); err == nil {
		fallback, branch = found.Peeled, strings.HasPrefix(found.Name, "refs/heads/")
	}
	switch {
	case git.IsID(ref):
		return ref, fallback, false, nil
	case fallback == "":
		return "", "", false, ErrUnknownRef
	default:
		return fallback, "", branch, nil
	}
}
