package mirror

import (
	"errors"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/refs"
)

// Outcome is how the latest pull of a mirror ended.
type Outcome string

const (
	Unknown Outcome = "unknown" // it was never pulled here
	Success Outcome = "success"
	Failed  Outcome = "failed"
)

// Snapshot is all that a reader needs to know of a mirror, at one moment. It is
// never changed; a pull replaces it. Whoever reads loads it once, and so sees
// all refs of one pull.
type Snapshot struct {
	git.Listing                  // the refs on disk, all but refs/sould/ and refs/replace/
	Fingerprint refs.Fingerprint // of the refs that the configuration selects
	Outcome     Outcome          // of the latest pull
	Pulled      time.Time        // when the latest successful pull asked for refs; zero for none
	Changed     time.Time        // when refs last changed on disk, for a mirror never pulled
	LastError   string           // of the latest pull, if it failed
	From        string           // the peer that the latest successful pull has read; empty for the origin
	Origin      origin.URL       // where it is pulled from; not Known for a copied-in mirror without one
	Formers     []origin.URL     // where it was pulled from before it was moved, the latest first
	Wanted      time.Time        // when somebody last asked for it, on any server; zero for never
	Accepted    time.Time        // when the origin was last asked for somebody who accepted deletions
	Removed     time.Time        // when the previous mirror of this name was deleted; zero if there was none
	Checked     time.Time        // when all objects were last checked; zero for never
	CheckError  string           // what was found to be damaged then
	Shallow     bool             // it has only a part of its origin's history, as its origin itself may have
	Warnings    git.Warnings     // about objects that git dislikes
	Mended      time.Time        // when it was last rebuilt because it was damaged; zero for never
	Retained    []refs.Retained  // what the origin has replaced or deleted of late, the oldest first
	DateText    string           // Date, as HTTP writes dates (RFC 9110, 5.6.7): it stands in every answer
	stamp       string           // of the refs on disk (git.Repo.Stamp)
}

// with is a copy of the snapshot that tells what a state says.
func (s Snapshot) with(state *stateFile) *Snapshot {
	s.Outcome, s.Pulled, s.LastError, s.From = state.Outcome, state.Pulled, state.LastError, state.From
	if s.Outcome == "" {
		s.Outcome = Unknown
	}
	s.Origin, s.Formers = state.origin(), state.formers()
	s.Wanted, s.Accepted, s.Removed = state.Wanted, state.Accepted, state.Removed
	s.Checked, s.CheckError, s.Mended = state.Checked, state.CheckError, state.Mended
	s.Warnings = state.Warnings
	s.DateText = s.Date().UTC().Format(httpDate)
	return &s
}

// Date is the time for which the content is known to be the origin's.
func (s *Snapshot) Date() time.Time {
	if s.Pulled.IsZero() {
		return s.Changed
	}
	return s.Pulled
}

// httpDate is the layout of HTTP's dates.
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// date writes a time for people.
func date(t time.Time) string {
	if t.IsZero() {
		return "an unknown date"
	}
	return t.UTC().Format(httpDate)
}

// Empty reports whether there is no ref at all.
func (s *Snapshot) Empty() bool { return len(s.Refs) == 0 && s.Head.ID == "" }

// Why a reader's words mean nothing.
var (
	ErrEmpty      = errors.New("the mirror is empty: its origin has no commits yet")
	ErrNoDefault  = errors.New("the mirror has no default branch; name a branch with ?ref=")
	ErrUnknownRef = errors.New("no such branch, tag or commit")
)

// Resolve finds what a client calls ref: the default branch if it is empty, else
// a full object id, a full ref name, a branch or a tag, in this order. It returns
// the object's id, and whether it is that of a branch and so for certain that of a
// commit. A full id is returned as it is, whether the mirror has it or not: one that is
// empty may retain what it has lost. fallback is then what a branch or tag of that very
// name leads to, or "".
func (s *Snapshot) Resolve(ref string) (id, fallback string, branch bool, err error) {
	if s.Empty() && !git.IsID(ref) {
		return "", "", false, ErrEmpty
	}
	if ref == "" {
		if s.Head.ID == "" {
			return "", "", false, ErrNoDefault
		}
		return s.Head.ID, "", true, nil
	}
	for _, name := range []string{ref, "refs/heads/" + ref, "refs/tags/" + ref} {
		if found, ok := s.Find(name); ok {
			fallback, branch = found.Peeled, strings.HasPrefix(name, "refs/heads/")
			break
		}
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
