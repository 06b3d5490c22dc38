package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// What stands in the storage is somebody's. An operator may copy a mirror in, or restore one
// from a backup, at any moment: also while one of that name is cloned or rebuilt. To look
// first whether something is there would be a race, so:
//
//   - a new mirror is moved only to where there is nothing, which the kernel checks;
//   - what is to be replaced or removed goes to the trash, and only there, where nobody else
//     puts anything, is it compared with what was meant. What is not that goes back.

// ErrReplaced is the error of work on a mirror whose directory was removed or replaced
// meanwhile.
var ErrReplaced = errors.New("the mirror's directory was removed or replaced by hand meanwhile; what is there now is left as it is")

// ErrTaken is why a new mirror does not take its place.
var ErrTaken = errors.New("something was put in the mirror's place by hand meanwhile; it is left as it is, and what was fetched is dropped")

// Install moves a complete mirror from its staging directory to its place. There must be
// nothing, or the mirror that is meant to be replaced: else the error is ErrTaken or
// ErrReplaced, and what is there stays. The replaced mirror lies in the trash then, and old
// says where. SyncPlace and SyncTrash make all this durable; Discard removes what is not to be kept.
func (s *Dir) Install(staging string, name Name, meant Identity) (old string, err error) {
	dir := s.MirrorDir(name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	if meant == (Identity{}) {
		err = s.installNew(staging, name)
	} else {
		old, err = s.replace(staging, name, meant)
	}
	if errors.Is(err, syscall.EXDEV) {
		err = fmt.Errorf("%s is on another file system than %s: all mirrors must be on one", filepath.Dir(dir), s.Own(""))
	}
	return old, err
}

// installNew moves a mirror to where there is none, nor one around it.
func (s *Dir) installNew(staging string, name Name) error {
	dir := s.MirrorDir(name)
	if err := moveTo(staging, dir); isTaken(err) {
		return ErrTaken
	} else if err != nil {
		return err
	}
	for _, above := range name.Above() {
		inside, err := looksLikeMirror(s.MirrorDir(above))
		if inside {
			err = Conflictf("the name lies inside the mirror %s, which was copied in meanwhile", above)
		}
		if err != nil {
			return errors.Join(err, moveTo(dir, staging))
		}
	}
	return nil
}

// replace puts a mirror in the place of another one, which changes places with it in the
// trash: there is no moment in which a start would remove it.
func (s *Dir) replace(staging string, name Name, meant Identity) (old string, err error) {
	dir := s.MirrorDir(name)
	entry, err := identifyMeant(dir, meant)
	if err != nil {
		return "", err
	}
	built, err := identifyEntry(staging)
	if err != nil {
		return "", err
	}
	s.trash.Lock()
	defer s.trash.Unlock()
	trash, err := s.trashDir("", name, time.Now())
	if err != nil {
		return "", err
	}
	old = filepath.Join(trash, "mirror")
	if err := os.Rename(staging, old); err != nil {
		return "", errors.Join(err, os.Remove(trash))
	}
	err = s.exchange(old, name)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrReplaced
	}
	if err == nil {
		if err = isEntry(old, entry); err != nil {
			err = errors.Join(err, s.putBack(old, name))
		}
	}
	if err != nil {
		return "", s.dropUnless(trash, name, built, err)
	}
	return old, nil
}

// identifyMeant identifies what has the name of a directory that is meant. The error is
// ErrReplaced if it is another one. A mirror may be a link: it is the link that moves.
func identifyMeant(dir string, meant Identity) (Identity, error) {
	entry, err := identifyEntry(dir)
	if err != nil {
		return entry, err
	}
	now, err := Identify(dir) // after the entry: if that is another one, this is too
	if err == nil && now != meant {
		err = ErrReplaced
	}
	return entry, err
}

// isEntry checks that what has that name now is what was meant. The error is ErrReplaced.
func isEntry(path string, meant Identity) error {
	now, err := identifyEntry(path)
	if err == nil && now != meant {
		err = ErrReplaced
	}
	return err
}

// putBack makes what was displaced and the mirror of that name change places again.
func (s *Dir) putBack(displaced string, name Name) error {
	err := s.exchange(displaced, name)
	if errors.Is(err, fs.ErrNotExist) { // the new one was removed by hand
		err = moveTo(displaced, s.MirrorDir(name))
	}
	return err
}

// dropUnless removes a directory of the trash after an error, unless there is something else
// in it than what was built here: that is kept, and the error says where.
func (s *Dir) dropUnless(trash string, name Name, built Identity, err error) error {
	left := filepath.Join(trash, "mirror")
	switch now, lookErr := identifyEntry(left); {
	case lookErr != nil:
		return errors.Join(err, lookErr)
	case now == built, now == Identity{}:
		return errors.Join(err, os.RemoveAll(trash))
	}
	kept, keepErr := s.keep(left, name)
	if keepErr == nil {
		keepErr = os.Remove(trash)
	}
	return fmt.Errorf("%w (what was there for a moment is kept as %s)", errors.Join(err, keepErr), s.short(kept))
}

// short is a path as people know it who know where the storage is.
func (s *Dir) short(path string) string {
	if inside, err := filepath.Rel(s.Path, path); err == nil {
		return inside
	}
	return path
}

// Discard removes what Install has replaced.
func (s *Dir) Discard(old string) error { return os.RemoveAll(filepath.Dir(old)) }

// isTaken reports whether something could not be renamed because of another thing that stands
// in its way.
func isTaken(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}

// isUnsupported reports whether a file system cannot rename in that way.
func isUnsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL)
}

// moveTo renames a directory to where there is nothing, not even an empty directory: somebody
// may have made it who is about to copy something in.
func moveTo(from, to string) error {
	err := renameFree(from, to)
	if isUnsupported(err) {
		err = moveSlowly(from, to)
	}
	return err
}

// moveSlowly is moveTo for file systems that cannot do it in one step. A directory of our own
// keeps the place: rename(2) replaces it as long as it is empty.
func moveSlowly(from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	if err := syscall.Rename(from, to); err != nil { // os.Rename replaces no directory
		return errors.Join(&os.LinkError{Op: "rename", Old: from, New: to, Err: err}, os.Remove(to))
	}
	return nil
}

// exchange makes the mirror of that name and a directory of the storage change places.
func (s *Dir) exchange(other string, name Name) error {
	err := exchange(other, s.MirrorDir(name))
	if isUnsupported(err) {
		err = s.exchangeSlowly(other, name)
	}
	return err
}

// exchangeSlowly is exchange for file systems that cannot do it in one step. Between the
// steps the mirror is where a start finds it.
func (s *Dir) exchangeSlowly(other string, name Name) error {
	dir, aside := s.MirrorDir(name), filepath.Join(s.Own("replaced"), name.Path())
	if err := os.MkdirAll(filepath.Dir(aside), 0o700); err != nil {
		return err
	}
	if err := os.Rename(dir, aside); err != nil {
		return err
	}
	if err := moveTo(other, dir); err != nil {
		backErr := moveTo(aside, dir)
		if backErr == nil {
			return err
		}
		kept, keepErr := s.keep(aside, name) // something else is there now
		return fmt.Errorf("%w (what was there is kept as %s)", errors.Join(err, backErr, keepErr), s.short(kept))
	}
	return os.Rename(aside, other)
}

// keep moves to the trash what has lost its place and may be somebody's, and returns where it
// lies then. It is never removed.
func (s *Dir) keep(path string, name Name) (to string, err error) {
	trash, err := s.trashDir(byHand, name, time.Now())
	if err != nil {
		return path, err
	}
	to = filepath.Join(trash, "mirror")
	if err := os.Rename(path, to); err != nil {
		return path, errors.Join(err, os.Remove(trash))
	}
	return to, nil
}

// restore puts mirrors back that an interrupted daemon was about to replace. Where something
// stands in their place, which may be the new one or somebody's, they are kept in the trash.
func (s *Dir) restore() error {
	replaced := &Dir{Path: s.Own("replaced")}
	var failed error
	err := replaced.Names(func(name Name) {
		aside := replaced.MirrorDir(name)
		err := os.MkdirAll(filepath.Dir(s.MirrorDir(name)), 0o755)
		if err == nil {
			err = moveTo(aside, s.MirrorDir(name))
		}
		if isTaken(err) {
			err = s.keepFromCrash(aside, name)
		}
		failed = errors.Join(failed, err)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err = errors.Join(err, failed, s.clearReplaced(replaced.Path)); err != nil {
		return fmt.Errorf("put back mirrors that were being replaced: %w", err)
	}
	return nil
}

// clearReplaced removes the directory of what is being replaced. If there is anything in it
// still, which is no mirror, that is kept in the trash.
func (s *Dir) clearReplaced(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, empty := range slices.Backward(dirs) {
		_ = os.Remove(empty) // it stays if there is something in it
	}
	if _, err := os.Lstat(dir); err != nil {
		return nil
	}
	return s.keepFromCrash(dir, Name{"replaced"})
}

// keepFromCrash keeps in the trash what a crash has left aside, and notes that for the log.
func (s *Dir) keepFromCrash(path string, name Name) error {
	to, err := s.keep(path, name)
	if err == nil {
		s.Kept = append(s.Kept, to)
	}
	return err
}
