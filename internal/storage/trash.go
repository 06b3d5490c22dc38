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

// MoveToTrash moves a mirror to the trash, and removes the directories above it that become
// empty. It returns where the mirror is now. SyncTrash makes this durable.
func (s *Dir) MoveToTrash(name Name, now time.Time) (string, error) {
	dir := s.MirrorDir(name)
	trash, err := s.trashFor(name, now)
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
	above := filepath.Dir(dir)
	for above != s.Path && os.Remove(above) == nil { // until one is not empty
		above = filepath.Dir(above)
	}
	return to, nil
}

// SyncTrash makes it durable that a mirror was moved to the trash.
func (s *Dir) SyncTrash(name Name, to string) error {
	above := filepath.Dir(s.MirrorDir(name))
	err := durable.Sync(above)
	for errors.Is(err, fs.ErrNotExist) && above != s.Path { // it was empty, and was removed
		above = filepath.Dir(above)
		err = durable.Sync(above)
	}
	return errors.Join(err, durable.Sync(filepath.Dir(to)), durable.Sync(s.Own("trash")))
}

// trashFor creates a directory in the trash for a mirror that is removed.
func (s *Dir) trashFor(name Name, now time.Time) (string, error) {
	for i := 0; ; i++ {
		time := strconv.FormatInt(now.Unix(), 10)
		if i > 0 { // twice in one second
			time += "." + strconv.Itoa(i)
		}
		dir := s.Own(filepath.Join("trash", time+"-"+escapeName(name)))
		if err := os.Mkdir(dir, 0o700); !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
	}
}

// discardedAt returns when trashFor created a directory in the trash. ok is false for others,
// which are worthless.
func discardedAt(trash string) (at time.Time, ok bool) {
	text, name, ok := strings.Cut(trash, "-")
	text, _, _ = strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), ok && err == nil && name != ""
}

// RemoveLeftovers removes what an interrupted daemon has left: unfinished mirrors and tombstones,
// and what is in the trash without having been removed on purpose. It does not stop at
// errors; what could not be removed does no harm.
func (s *Dir) RemoveLeftovers() error {
	err := s.empty("incoming", func(string) bool { return true })
	err = errors.Join(err, s.empty("trash", func(name string) bool { _, ok := discardedAt(name); return !ok }))
	entries, readErr := os.ReadDir(s.Own("tombstones"))
	err = errors.Join(err, readErr)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".new-") {
			err = errors.Join(err, os.Remove(s.Own(filepath.Join("tombstones", entry.Name()))))
		}
	}
	return err
}

// empty removes the files and directories from one of sould's own directories that remove
// selects.
func (s *Dir) empty(sub string, remove func(name string) bool) error {
	entries, err := os.ReadDir(s.Own(sub))
	for _, entry := range entries {
		if remove(entry.Name()) {
			err = errors.Join(err, os.RemoveAll(s.Own(filepath.Join(sub, entry.Name()))))
		}
	}
	return err
}
