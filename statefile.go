package main

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
	"time"

	"github.com/reconquest/sould/internal/durable"
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
	Removed   time.Time `json:"removed,omitzero"`  // when the mirror was that had the name before, on purpose
	Repacked  time.Time `json:"repacked,omitzero"` // in full

	Checked    time.Time `json:"checked,omitzero"`
	CheckError string    `json:"check_error,omitempty"`
	Mended     time.Time `json:"mended,omitzero"` // when it was last built anew because of damage

	// Pending is a change of HEAD that belongs to a change of refs. Refs change in
	// one step, and HEAD in another.
	Pending *pendingHead `json:"pending,omitempty"`
}

// pendingHead is what HEAD is to be if the refs have become what they were to be.
type pendingHead struct {
	Head git.Head `json:"head"`
	Refs string   `json:"refs"` // their digest
}

// damage is what the last check has found to be broken, unless it was mended since.
func (s *stateFile) damage() error {
	if s.CheckError == "" || !s.Mended.Before(s.Checked) {
		return nil
	}
	return errors.New(s.CheckError)
}

// digest is equal for equal refs.
func digest(refs []git.Ref) string {
	h := sha256.New()
	for _, ref := range refs {
		io.WriteString(h, ref.ID+" "+ref.Name+"\n")
	}
	return hex.EncodeToString(h.Sum(nil))
}

// readState reads a mirror's file. Without one, the zero value is returned.
func readState(dir string) (stateFile, error) {
	var s stateFile
	text, err := os.ReadFile(filepath.Join(dir, storage.StateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%w: %s: %w", git.ErrDamaged, filepath.Join(dir, storage.StateFile), err)
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

// origin is the origin that the file names. One that sould would not pass to git
// counts as none.
func (s *stateFile) origin() origin.URL {
	o, err := origin.Parse(s.Origin, true)
	if err != nil {
		return origin.URL{}
	}
	return o.As(s.User, s.Password)
}

// formers are the origins that the mirror had before, the latest first.
func (s *stateFile) formers() (all []origin.URL) {
	for _, url := range s.Formers {
		if o, err := origin.Parse(url, true); err == nil {
			all = append(all, o)
		}
	}
	return all
}

// maxFormers is how many former origins are remembered, for servers that have missed
// several moves.
const maxFormers = 8

func (s *stateFile) setOrigin(o origin.URL) {
	if before := s.origin(); before.Known() && !before.Same(o) {
		s.addFormer(before.String())
	}
	s.Origin = o.String()
	s.User, s.Password = o.Credentials()
}

func (s *stateFile) addFormer(url string) {
	all := append([]string{url}, slices.DeleteFunc(slices.Clone(s.Formers), func(former string) bool { return former == url })...)
	s.Formers = all[:min(len(all), maxFormers)]
}
