package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/git"
)

// Outcome is how the latest pull of a mirror ended.
type Outcome string

const (
	OutcomeUnknown Outcome = "unknown" // never pulled by sould
	OutcomeSuccess Outcome = "success"
	OutcomeFailed  Outcome = "failed"
)

// Snapshot is all that a reader needs to know of a mirror, at one moment. It is
// never changed; a pull replaces it. Whoever reads loads it once, and so sees
// all refs of one pull.
type Snapshot struct {
	git.Listing              // the refs on disk, all but refs/sould/ and refs/replace/
	Fingerprint Fingerprint  // of the refs that the configuration selects
	Outcome     Outcome      // of the latest pull
	Pulled      time.Time    // when the latest successful pull asked for refs; zero for none
	Changed     time.Time    // when refs last changed on disk, for a mirror never pulled
	LastError   string       // of the latest pull, if it failed
	From        string       // where the latest successful pull brought it from: a peer's address; empty for the origin
	Origin      Origin       // where it is pulled from; not Known for a copied-in mirror without one
	Formers     []Origin     // where it was pulled from before it was moved, the latest first
	Wanted      time.Time    // when somebody last asked for it, on any server; zero for never
	Accepted    time.Time    // when the origin was last asked for somebody who accepted deletions
	Removed     time.Time    // when the mirror was that had the name before, on purpose; zero for none
	Checked     time.Time    // when all objects were last checked; zero for never
	CheckError  string       // what was found to be damaged then
	Warnings    git.Warnings // about objects that git dislikes
	Mended      time.Time    // when it was last built anew because it was damaged; zero for never
	Kept        []keptRef    // what the origin has replaced or deleted of late
	stamp       string       // of the refs on disk (git.Repo.Stamp)

	// X-State and X-Date, as they stand in an answer, which shares them.
	stateHeader, dateHeader []string
}

// Date is the time for which the content is known to be the origin's.
func (s *Snapshot) Date() time.Time {
	if s.Pulled.IsZero() {
		return s.Changed
	}
	return s.Pulled
}

// Empty reports whether there is no ref at all.
func (s *Snapshot) Empty() bool { return len(s.Refs) == 0 && s.Head.ID == "" }

var (
	errEmptyMirror = errors.New("the mirror is empty: its origin has no commits yet")
	errNoDefault   = errors.New("the mirror has no default branch; name a branch with ?ref=")
	errUnknownRef  = errors.New("no such branch, tag or commit")
)

// dress prepares what every answer says of the snapshot.
func (s *Snapshot) dress() {
	state := OutcomeFailed
	if s.Outcome == OutcomeSuccess {
		state = OutcomeSuccess
	}
	s.stateHeader = []string{string(state)}
	s.dateHeader = []string{s.Date().UTC().Format(http.TimeFormat)}
}

// names reports whether a ref or HEAD names the object of that id.
func (s *Snapshot) names(id string) bool {
	return s.Head.ID == id || slices.ContainsFunc(s.Refs, func(r git.Ref) bool { return r.ID == id || r.Peeled == id })
}

// Resolve finds what a client calls ref: the default branch if it is empty, else
// a full object id, a full ref name, a branch or a tag, in this order. It returns
// the object's id, and whether it is that of a branch and so for certain that of a
// commit. A full id is returned as it is, whether the mirror has it or not: one that is
// empty may keep what it has lost. fallback is then what a branch or tag of that very
// name leads to, or "".
func (s *Snapshot) Resolve(ref string) (id, fallback string, branch bool, err error) {
	if s.Empty() && !git.IsID(ref) {
		return "", "", false, errEmptyMirror
	}
	if ref == "" {
		if s.Head.ID == "" {
			return "", "", false, errNoDefault
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
		return "", "", false, errUnknownRef
	default:
		return fallback, "", branch, nil
	}
}

// Fingerprint is a digest of a mirror's refs and default branch, in hex. Two
// servers with the same patterns have equal fingerprints exactly if they have
// the same content.
type Fingerprint string

// fingerprint digests the refs that the patterns select, and HEAD.
func fingerprint(l git.Listing, patterns []RefPattern) Fingerprint {
	h := sha256.New()
	if l.Head.ID != "" { // else which branch it is that does not exist is no content
		io.WriteString(h, "HEAD "+l.Head.Ref+" "+l.Head.ID+"\n")
	}
	for _, ref := range l.Refs {
		if selected(patterns, ref.Name) {
			io.WriteString(h, ref.ID+" "+ref.Name+"\n")
		}
	}
	return Fingerprint(hex.EncodeToString(h.Sum(nil)))
}

// separate takes apart what is a mirror's content and the refs that are not for
// clients: the server's own, and those that would change what an id means.
func separate(refs []git.Ref) (content, own []git.Ref) {
	for _, ref := range refs {
		if strings.HasPrefix(ref.Name, keptRefs) || strings.HasPrefix(ref.Name, replaceRefs) {
			own = append(own, ref)
		} else {
			content = append(content, ref)
		}
	}
	return content, own
}
