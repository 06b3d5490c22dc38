package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/reconquest/sould/internal/durable"
)

// MoveToTrash moves the mirror with this identity to the trash, and removes the directories
// above it that are empty then. It returns the new path. If another mirror is there, it stays,
// and the error is ErrReplaced. SyncTrash makes all this durable.
func (s *Dir) MoveToTrash(name Name, meant Identity, now time.Time) (string, error) {
	dir := s.MirrorDir(name)
	entry, err := identifyMeant(dir, meant)
	if err != nil {
		return "", err
	}
	s.trash.Lock()
	defer s.trash.Unlock()
	trash, err := s.trashDir("", name, now)
	if err != nil {
		return "", err
	}
	to := filepath.Join(trash, "mirror")
	if err := os.Rename(dir, to); err != nil {
		if errors.Is(err, syscall.EXDEV) {
			err = fmt.Errorf("%s is on another file system than %s: all mirrors must be on one", dir, s.Own(""))
		}
		return "", errors.Join(err, os.Remove(trash))
	}
	if err := checkEntry(to, entry); err != nil {
		return "", s.dropUnless(trash, name, Identity{}, errors.Join(err, moveTo(to, dir)))
	}
	above := filepath.Dir(dir)
	for above != s.Path && os.Remove(above) == nil { // fails if it is not empty
		above = filepath.Dir(above)
	}
	return to, nil
}

// SyncTrash makes a move to the trash durable.
func (s *Dir) SyncTrash(name Name, to string) error {
	above := filepath.Dir(s.MirrorDir(name))
	err := durable.Sync(above)
	for errors.Is(err, fs.ErrNotExist) && above != s.Path { // an empty directory was removed
		above = filepath.Dir(above)
		err = durable.Sync(above)
	}
	return errors.Join(err, durable.Sync(filepath.Dir(to)), durable.Sync(s.Own("trash")))
}

// byHand begins the names of directories in the trash that may contain somebody's work.
const byHand = "by-hand-"

// trashDir creates a directory in the trash for a mirror of this name.
func (s *Dir) trashDir(prefix string, name Name, now time.Time) (string, error) {
	for i := 0; ; i++ {
		time := prefix + strconv.FormatInt(now.Unix(), 10)
		if i > 0 { // another one in the same second
			time += "." + strconv.Itoa(i)
		}
		dir := s.Own(filepath.Join("trash", time+"-"+escapeName(name)))
		if err := os.Mkdir(dir, 0o700); !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
	}
}

// discardedAt returns when a directory was moved to the trash to be removed later. ok is false
// for a directory that somebody else put there.
func discardedAt(trash string) (at time.Time, ok bool) {
	text, name, ok := strings.Cut(trash, "-")
	text, _, _ = strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), ok && err == nil && name != ""
}

// Trashed is a mirror in the trash that will be removed from it.
type Trashed struct {
	Entry string    // the name of its directory in the trash
	Path  string    // of the mirror itself
	Name  Name      // of the mirror; only its beginning, if it is very long
	At    time.Time // when it was moved there
}

// TrashedIn returns the Entry of a mirror that is at this path in the trash.
func TrashedIn(path string) string { return filepath.Base(filepath.Dir(path)) }

// Trash lists the mirrors in the trash, but not what somebody put there by hand.
func (s *Dir) Trash() ([]Trashed, error) {
	entries, err := os.ReadDir(s.Own("trash"))
	var all []Trashed
	for _, entry := range entries {
		at, ok := discardedAt(entry.Name())
		_, escaped, _ := strings.Cut(entry.Name(), "-")
		if name, known := unescapeName(escaped); ok && known {
			all = append(all, Trashed{entry.Name(), filepath.Join(s.Own("trash"), entry.Name(), "mirror"), name, at})
		}
	}
	return all, err
}

// RemoveTrashed removes a mirror from the trash before its time. It is no error if it is gone.
func (s *Dir) RemoveTrashed(t Trashed) error { return s.removeTrash(t.Entry) }

// RemoveLeftovers removes mirrors and tombstones that an interrupted daemon had not finished.
// It continues after an error; what it could not remove does no harm. It does not touch the
// trash.
func (s *Dir) RemoveLeftovers() error {
	err := s.emptyIncoming()
	entries, readErr := os.ReadDir(s.Own("tombstones"))
	err = errors.Join(err, readErr)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".new-") {
			err = errors.Join(err, os.Remove(s.Own(filepath.Join("tombstones", entry.Name()))))
		}
	}
	return err
}

// emptyIncoming removes unfinished mirrors.
func (s *Dir) emptyIncoming() error {
	entries, err := os.ReadDir(s.Own("incoming"))
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(s.Own(filepath.Join("incoming", entry.Name()))))
	}
	return err
}

// emptyTrash removes mirrors that have been in the trash for this time.
func (s *Dir) emptyTrash(now time.Time, keep time.Duration) error {
	entries, err := os.ReadDir(s.Own("trash"))
	for _, entry := range entries {
		if at, ok := discardedAt(entry.Name()); ok && !at.Add(keep).After(now) {
			err = errors.Join(err, s.removeTrash(entry.Name()))
		}
	}
	return err
}

// removeTrash removes a directory of the trash. It moves it aside first, under the lock: while
// a mirror is being moved to the trash, it is still compared with the expected one, and may go
// back.
func (s *Dir) removeTrash(name string) error {
	aside := s.Own(filepath.Join("incoming", "trash-"+name))
	s.trash.Lock()
	err := os.Rename(s.Own(filepath.Join("trash", name)), aside)
	s.trash.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was put back
	}
	return errors.Join(err, os.RemoveAll(aside))
}
