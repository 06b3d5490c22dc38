package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/durable"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// stateFile is what a mirror's own file holds: all that must survive a restart
// and that git has no place for. Its mode is 0600, since it holds credentials.
type stateFile struct {
	Origin    string    `json:"origin,omitempty"`         // without credentials
	Formers   []string  `json:"former_origins,omitempty"` // before it was moved, the latest first, without credentials
	User      string    `json:"user,omitempty"`
	Password  string    `json:"password,omitempty"`
	Outcome   Outcome   `json:"outcome"`
	Pulled    time.Time `json:"pulled,omitzero"`
	LastError string    `json:"last_error,omitempty"`
	From      string    `json:"from,omitempty"`    // the peer that it was pulled from; empty for the origin
	Wanted    time.Time `json:"wanted,omitzero"`   // when somebody last asked for the mirror, on any server
	Accepted  time.Time `json:"accepted,omitzero"` // when the origin was last asked for somebody who accepted deletions
	Removed   time.Time `json:"removed,omitzero"`  // when the previous mirror of this name was deleted; zero if there was none
	Repacked  time.Time `json:"repacked,omitzero"` // in full

	Whole      wholeness `json:"whole,omitzero"` // who knows that all objects are there
	Checked    time.Time `json:"checked,omitzero"`
	CheckError string    `json:"check_error,omitempty"`
	Mended     time.Time `json:"mended,omitzero"` // when it was last rebuilt because of damage

	// Warnings are of the last check, and of what came since.
	Warnings git.Warnings `json:"warnings,omitempty"`

	// Pending is a change of HEAD that belongs to a change of refs. Refs change in
	// one step, and HEAD in another.
	Pending *pendingHead `json:"pending,omitempty"`
}

// pendingHead is what HEAD is to be if the refs have become what they were to be.
type pendingHead struct {
	Head git.Head `json:"head"`
	Refs string   `json:"refs"` // their digest
}

// damage is what the last check has found to be broken, unless the mirror was rebuilt since.
func (s *stateFile) damage() error {
	if s.CheckError == "" || !s.Mended.Before(s.Checked) {
		return nil
	}
	return errors.New(s.CheckError)
}

// digest is equal for equal refs.
func digest(all []git.Ref) string {
	h := sha256.New()
	for _, ref := range all {
		io.WriteString(h, ref.ID+" "+ref.Name+"\n")
	}
	return hex.EncodeToString(h.Sum(nil))
}

// readState reads a mirror's file. Without one, the zero value is returned.
func readState(dir string) (stateFile, error) {
	var s stateFile
	path := filepath.Join(dir, storage.StateFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%w: %s: %w", git.ErrDamaged, path, err)
	}
	return s, nil
}

// write replaces a mirror's file. When it returns without an error, the new one
// is on disk; a crash before that leaves the old one.
func (s *stateFile) write(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, storage.StateFile)
	if info, err := os.Lstat(path); err == nil && info.IsDir() { // no one's, and in the way
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return durable.WriteFile(path, path+".new", append(text, '\n'), 0o600)
}

// origin is the origin that the file names. One that is not to be passed to git counts as
// none.
func (s *stateFile) origin() origin.URL {
	from, err := origin.Parse(s.Origin, true)
	if err != nil {
		return origin.URL{}
	}
	return from.As(s.User, s.Password)
}

// formers are the origins that the mirror had before, the latest first.
func (s *stateFile) formers() (all []origin.URL) {
	for _, url := range s.Formers {
		if former, err := origin.Parse(url, true); err == nil {
			all = append(all, former)
		}
	}
	return all
}

// maxFormers is how many former origins are remembered, for servers that have missed
// several moves.
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

// setSource notes where a pull has read, and how it ended therefore. asked is when the source
// was asked for its refs: what came later may not be in the mirror, however long the transfer
// took. A replica that has not reached the origin itself can only say how old what it has is.
func (s *stateFile) setSource(from origin.URL, src Source, asked time.Time) {
	s.setOrigin(from)
	s.Outcome, s.Pulled, s.LastError, s.From = Success, asked, "", src.Peer
	switch {
	case src.IsOrigin():
	case src.ReachedOrigin:
		s.Pulled = src.Asked
	default:
		s.Outcome, s.Pulled = Failed, src.Pulled
		s.LastError = fmt.Sprintf("the origin could not be reached; this is what the peer %s had", src.Peer)
	}
}

// maxDamage bounds what is noted of a mirror's damage, in bytes.
const maxDamage = 1000

// setCheck notes what a check has found, which is nil for nothing.
func (s *stateFile) setCheck(damage error, now time.Time) {
	s.Checked, s.CheckError = now.Truncate(time.Second), ""
	if damage != nil {
		s.CheckError = errtext.Clip(errtext.Clean(strings.TrimSpace(damage.Error())), maxDamage)
	}
}

// successor is the state of a mirror that takes the place of another one: what was known of
// that, but for how it was pulled, and for its packs.
func (s *stateFile) successor() stateFile {
	return stateFile{
		Origin: s.Origin, Formers: s.Formers,
		Wanted: s.Wanted, Accepted: s.Accepted, Removed: s.Removed,
		Checked: s.Checked, CheckError: s.CheckError, Mended: s.Mended,
	}
}

// reborn is the state of a mirror that is built where one was removed on purpose.
func reborn(tombstone storage.Tombstone, from origin.URL) stateFile {
	s := stateFile{Removed: tombstone.At}
	if tombstone.Origin != "" && tombstone.Origin != from.String() {
		s.addFormer(tombstone.Origin)
	}
	return s
}
