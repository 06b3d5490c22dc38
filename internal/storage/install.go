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

// An operator may copy a mirror into the storage, or restore one from a backup, at any moment:
// also while a mirror with this name is cloned or rebuilt. What was put there by hand must not
// be destroyed. A check beforehand would be a race. So:
//
// - a new mirror is moved only to where nothing is, which the kernel checks; - a mirror that is
// replaced or removed is first moved to the trash, where nobody else puts anything, and only
// there compared with the expected one. If it is another one, it goes back.

// ErrReplaced is returned if a mirror's directory was removed or replaced meanwhile.
var ErrReplaced = errors.New("the mirror's directory was removed or replaced by hand meanwhile; what is there now is left as it is: POST again if it is to follow the origin")

// ErrTaken is returned if the place of a new mirror was taken meanwhile.
var ErrTaken = errors.New("something was put in the mirror's place by hand meanwhile; it is left as it is, and what was fetched is dropped: POST again if it is to follow the origin")

// Install moves a complete mirror from its staging directory to its place. With a zero meant,
// nothing may be there; otherwise the mirror with this identity, which is replaced. Else the
// error is ErrTaken or ErrReplaced, and what is there stays. The replaced mirror is moved to
// the trash, to the path old. SyncPlace and SyncTrash make all this durable; Discard removes a
// replaced mirror that is not to be kept.
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

// installNew moves a mirror to where nothing is, and where no mirror is above it.
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

// replace exchanges a mirror with another one. The new mirror is first moved to the trash, and
// changes places there: a start of the daemon removes neither of them at any moment.
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
		if err = checkEntry(old, entry); err != nil {
			err = errors.Join(err, s.putBack(old, name))
		}
	}
	if err != nil {
		return "", s.dropUnless(trash, name, built, err)
	}
	return old, nil
}

// identifyMeant returns the identity of the entry dir, which differs from meant if it is a
// link: a link itself is moved. The error is ErrReplaced if the directory is not the one that
// is meant.
func identifyMeant(dir string, meant Identity) (Identity, error) {
	entry, err := identifyEntry(dir)
	if err != nil {
		return entry, err
	}
	now, err := Identify(dir) // after the entry, so that a change in between is noticed
	if err == nil && now != meant {
		err = ErrReplaced
	}
	return entry, err
}

// checkEntry returns ErrReplaced if path is not the entry that was meant.
func checkEntry(path string, meant Identity) error {
	now, err := identifyEntry(path)
	if err == nil && now != meant {
		err = ErrReplaced
	}
	return err
}

// putBack makes the displaced mirror and the one at its place change places again.
func (s *Dir) putBack(displaced string, name Name) error {
	err := s.exchange(displaced, name)
	if errors.Is(err, fs.ErrNotExist) { // the new one was removed by hand
		err = moveTo(displaced, s.MirrorDir(name))
	}
	return err
}

// dropUnless removes a directory of the trash after an error. But if it contains anything other
// than the mirror that was built here, that is retained, and the error says where.
func (s *Dir) dropUnless(trash string, name Name, built Identity, err error) error {
	left := filepath.Join(trash, "mirror")
	switch now, lookErr := identifyEntry(left); {
	case lookErr != nil:
		return errors.Join(err, lookErr)
	case now == built, now == Identity{}:
		return errors.Join(err, os.RemoveAll(trash))
	}
	kept, retainErr := s.retain(left, name)
	if retainErr == nil {
		retainErr = os.Remove(trash)
	}
	return fmt.Errorf("%w (what was there for a moment is kept as %s)", errors.Join(err, retainErr), s.short(kept))
}

// short is a path relative to the storage, for people.
func (s *Dir) short(path string) string {
	if inside, err := filepath.Rel(s.Path, path); err == nil {
		return inside
	}
	return path
}

// Discard removes a mirror that Install has replaced.
func (s *Dir) Discard(old string) error { return os.RemoveAll(filepath.Dir(old)) }

// isTaken reports whether a rename failed because something has the new name.
func isTaken(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}

// isUnsupported reports whether a file system cannot do this kind of rename.
func isUnsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL)
}

// moveTo renames a directory to where nothing is. Not even an empty directory may be there:
// somebody may have created it to copy something in.
func moveTo(from, to string) error {
	err := renameFree(from, to)
	if isUnsupported(err) {
		err = moveInSteps(from, to)
	}
	return err
}

// moveInSteps is moveTo for file systems that cannot do it in one step. An empty directory of
// our own reserves the place; rename(2) replaces it as long as it is empty.
func moveInSteps(from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	if err := syscall.Rename(from, to); err != nil { // os.Rename replaces no directory
		return errors.Join(&os.LinkError{Op: "rename", Old: from, New: to, Err: err}, os.Remove(to))
	}
	return nil
}

// exchange makes the mirror with this name and a directory of the storage change places.
func (s *Dir) exchange(other string, name Name) error {
	err := exchange(other, s.MirrorDir(name))
	if isUnsupported(err) {
		err = s.exchangeInSteps(other, name)
	}
	return err
}

// exchangeInSteps is exchange for file systems that cannot do it in one step. Between the steps
// the mirror is where the next start of the daemon finds it.
func (s *Dir) exchangeInSteps(other string, name Name) error {
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
		kept, retainErr := s.retain(aside, name) // its place was taken
		return fmt.Errorf("%w (what was there is kept as %s)", errors.Join(err, backErr, retainErr), s.short(kept))
	}
	return os.Rename(aside, other)
}

// retain moves a directory that has lost its place, and may be somebody's, to the trash. It
// returns the new path. It is never removed from there.
func (s *Dir) retain(path string, name Name) (to string, err error) {
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

// restore puts back the mirrors that an interrupted daemon was about to replace. If a place is
// taken, by the new mirror or by hand, the mirror is retained in the trash.
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
			err = s.retainSurvivor(aside, name)
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

// clearReplaced removes the directory of mirrors that are being replaced. If anything is left
// in it, which is no mirror, it is retained in the trash.
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
		_ = os.Remove(empty) // fails if it is not empty
	}
	if _, err := os.Lstat(dir); err != nil {
		return nil
	}
	return s.retainSurvivor(dir, Name{"replaced"})
}

// retainSurvivor retains in the trash what a crash has left aside, and records that for the
// log.
func (s *Dir) retainSurvivor(path string, name Name) error {
	to, err := s.retain(path, name)
	if err == nil {
		s.Survivors = append(s.Survivors, to)
	}
	return err
}
