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

	"github.com/reconquest/sould/internal/git"
)

// stateName is sould's own file in a mirror.
const stateName = "sould.json"

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
	// Warnings are of the last check, and of what came since.
	Warnings git.Warnings `json:"warnings,omitempty"`
	Mended   time.Time    `json:"mended,omitzero"` // when it was last built anew because of damage

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
	text, err := os.ReadFile(filepath.Join(dir, stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%w: %s: %w", git.ErrDamaged, filepath.Join(dir, stateName), err)
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
	path := filepath.Join(dir, stateName+".new")
	// What stands there may be readable for others, or lead out of the storage.
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	place := filepath.Join(dir, stateName)
	if err = os.Rename(path, place); errors.Is(err, fs.ErrExist) { // a directory, and no one's
		err = os.RemoveAll(place)
		if err == nil {
			err = os.Rename(path, place)
		}
	}
	if err != nil {
		return err
	}
	return git.SyncDir(dir)
}

// origin is the origin that the file names. One that sould would not pass to git
// counts as none.
func (s *stateFile) origin() Origin {
	o, err := ParseOrigin(s.Origin, true)
	if err != nil {
		return Origin{}
	}
	o.user, o.password = s.User, s.Password
	return o
}

// formers are the origins that the mirror had before, the latest first.
func (s *stateFile) formers() (all []Origin) {
	for _, url := range s.Formers {
		if o, err := ParseOrigin(url, true); err == nil {
			all = append(all, o)
		}
	}
	return all
}

// maxFormers is how many former origins are remembered, for servers that have missed
// several moves.
const maxFormers = 8

func (s *stateFile) setOrigin(o Origin) {
	if before := s.origin(); before.Known() && !before.Same(o) {
		s.addFormer(before.url)
	}
	s.Origin, s.User, s.Password = o.url, o.user, o.password
}

func (s *stateFile) addFormer(url string) {
	all := append([]string{url}, without(slices.Clone(s.Formers), url)...)
	s.Formers = all[:min(len(all), maxFormers)]
}
