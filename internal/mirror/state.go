package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// stateFile is the content of a mirror's state file: what must survive a restart and has no
// place in git's own files. Its mode is 0600, because it holds credentials.
type stateFile struct {
	Origin    string    `json:"origin,omitempty"`         // without credentials
	Formers   []string  `json:"former_origins,omitempty"` // before the mirror was moved; the latest first, without credentials
	User      string    `json:"user,omitempty"`
	Password  string    `json:"password,omitempty"`
	Outcome   Outcome   `json:"outcome"`
	Pulled    time.Time `json:"pulled,omitzero"`
	LastError string    `json:"last_error,omitempty"`
	Failing   time.Time `json:"failing_since,omitzero"` // zero if the latest pull has not failed, or if that is not known
	From      string    `json:"from,omitempty"`         // the peer that was pulled from; empty for the origin
	Wanted    time.Time `json:"wanted,omitzero"`        // when somebody last asked for the mirror, on any server
	WantedBy  string    `json:"wanted_by,omitempty"`    // the address from which that request came here; empty if it is not known
	Accepted  time.Time `json:"accepted,omitzero"`      // when the latest pull with accepted deletions asked for refs
	Removed   time.Time `json:"removed,omitzero"`       // when the previous mirror of this name was deleted; zero if there was none
	Repacked  time.Time `json:"repacked,omitzero"`      // in full
	OnDemand  bool      `json:"on_demand,omitempty"`    // a read has made the mirror, and nobody has POSTed it since
	Made      time.Time `json:"made,omitzero"`          // when a read has made the mirror; zero if none has
	MadeBy    string    `json:"made_by,omitempty"`      // the address of that reader
	Gone      time.Time `json:"gone,omitzero"`          // when the origin was deleted, as GoneBy says; zero if it is there as far as is known
	GoneBy    string    `json:"gone_by,omitempty"`
	Hook      Hook      `json:"hook,omitzero"`

	Whole      wholeness `json:"whole,omitzero"` // which server knows that all objects are there
	Checked    time.Time `json:"checked,omitzero"`
	CheckError string    `json:"check_error,omitempty"`
	Rebuilt    time.Time `json:"mended,omitzero"` // when the mirror was last rebuilt because of damage

	// Warnings are about the objects of the last check, and about those fetched since.
	Warnings git.Warnings `json:"warnings,omitempty"`

	// Pending is a change of HEAD that follows a change of refs, while a pull writes them.
	Pending *pendingHead `json:"pending,omitempty"`
}

// pendingHead is what HEAD must become if the refs with that digest were written.
type pendingHead struct {
	Head git.Head `json:"head"`
	Refs string   `json:"refs"` // refsDigest of all refs
}

// damage returns what the last check has found, or nil if the mirror was rebuilt since.
func (s *stateFile) damage() error {
	if s.CheckError == "" || !s.Rebuilt.Before(s.Checked) {
		return nil
	}
	return errors.New(s.CheckError)
}

// refsDigest returns a text that is equal for equal refs.
func refsDigest(all []git.Ref) string {
	h := sha256.New()
	for _, ref := range all {
		io.WriteString(h, ref.ID+" "+ref.Name+"\n")
	}
	return hex.EncodeToString(h.Sum(nil))
}

// origin returns the stored origin. It is not Known if git must not be given what is stored.
func (s *stateFile) origin() origin.URL {
	from, err := origin.Parse(s.Origin, true)
	if err != nil {
		return origin.URL{}
	}
	return from.As(s.User, s.Password)
}

// formers returns the former origins, the latest first.
func (s *stateFile) formers() (all []origin.URL) {
	for _, url := range s.Formers {
		if former, err := origin.Parse(url, true); err == nil {
			all = append(all, former)
		}
	}
	return all
}

// maxFormers is how many former origins are stored, for servers that have missed several moves.
const maxFormers = 8

func (s *stateFile) setOrigin(from origin.URL) {
	if before := s.origin(); before.Known() && !before.Same(from) {
		s.addFormer(before.String())
	}
	s.Origin = from.String()
	s.User, s.Password = from.Credentials()
}

func (s *stateFile) addFormer(url string) {
	others := slices.DeleteFunc(slices.Clone(s.Formers), func(former string) bool { return former == url })
	all := append([]string{url}, others...)
	s.Formers = all[:min(len(all), maxFormers)]
}

// setSource records the source of a pull, and how the pull ended because of it. asked is when
// the source was asked for its refs: later changes may not be in the mirror, however long the
// transfer took. If the source is a replica that has not reached the origin, the pull has failed,
// and the content is as old as the replica's. A mirror of this origin keeps its user and password
// then: nobody knows that those of this pull are right.
func (s *stateFile) setSource(from origin.URL, src Source, asked time.Time) {
	before := s.origin()
	s.setOrigin(from)
	s.Outcome, s.Pulled, s.LastError, s.From = Success, asked, "", src.Peer
	switch {
	case src.isOrigin():
		s.Gone, s.GoneBy = time.Time{}, ""
	case src.ReachedOrigin:
		s.Pulled = src.Asked
	default:
		s.Outcome, s.Pulled = Failed, src.Pulled
		s.LastError = fmt.Sprintf("the origin could not be reached; this is what the peer %s had", src.Peer)
		if before.Known() && before.Same(from) {
			s.User, s.Password = before.Credentials()
		}
	}
}

// fail records why a pull failed.
func (s *stateFile) fail(words string, at time.Time) {
	if s.Outcome != Failed {
		s.Failing = at
	}
	s.Outcome, s.LastError = Failed, words
}

// maxDamage bounds the stored words about a mirror's damage, in bytes.
const maxDamage = 1000

// setCheck records what a check has found; nil for no damage.
func (s *stateFile) setCheck(damage error, now time.Time) {
	s.Checked, s.CheckError = now.Truncate(time.Second), ""
	if damage != nil {
		s.CheckError = errtext.Clip(errtext.Clean(strings.TrimSpace(damage.Error())), maxDamage)
	}
}

// successor returns the state with which the replacement of a mirror begins: all but what is
// about the old mirror's pulls and packs.
func (s *stateFile) successor() stateFile {
	return stateFile{
		Origin: s.Origin, Formers: s.Formers, User: s.User, Password: s.Password,
		Wanted: s.Wanted, WantedBy: s.WantedBy, Accepted: s.Accepted, Removed: s.Removed,
		Checked: s.Checked, CheckError: s.CheckError, Rebuilt: s.Rebuilt,
		OnDemand: s.OnDemand, Made: s.Made, MadeBy: s.MadeBy, Gone: s.Gone, GoneBy: s.GoneBy, Hook: s.Hook,
	}
}

// stateAfterDelete returns the state of a new mirror whose name has a tombstone.
func stateAfterDelete(tombstone storage.Tombstone, from origin.URL) stateFile {
	s := stateFile{Removed: tombstone.At}
	if tombstone.Origin != "" && tombstone.Origin != from.String() {
		s.addFormer(tombstone.Origin)
	}
	return s
}
