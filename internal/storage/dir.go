// Package storage keeps the directory of the mirrors. It knows the rules for their names, lets only
// one daemon use the directory, builds mirrors aside and puts them in place in one step, and
// keeps removed mirrors in a trash and their names on tombstones.
package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/reconquest/sould/internal/durable"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
)

// Dir is the directory of the mirrors. One daemon owns it at a time. What is
// sould's own lies in its subdirectory .sould:
//
//	id         tells this server from others
//	lock       held by the daemon
//	children   held by the daemon and by every git that it started
//	incoming/  mirrors that are being built, and views of others; worthless after a crash
//	replaced/  mirrors that are being replaced, where that takes more than one step
//	trash/     mirrors that were removed on purpose, and replaced ones that could not be
//	           read in full, for as long as the configuration says (keep)
//	tombstones/ the names of mirrors that were removed on purpose
//	neutral/   empty repositories through which archives are made
//	cache/     finished archives
type Dir struct {
	Path    string // absolute, without symbolic links
	ID      string // tells this server from others, as long as the storage exists
	Leash   *git.Leash
	Neutral git.Neutral
	lock    *os.File
}

// ownDir is sould's own directory in a storage. No mirror's name begins with a
// dot.
const ownDir = ".sould"

// orphanWait is how long a new daemon waits for the git processes of a killed one to end,
// after it has signalled them.
const orphanWait = 30 * time.Second

// Open takes possession of a directory, which it creates if there is none. RemoveLeftovers
// removes what an interrupted daemon has left there.
func Open(ctx context.Context, dir string) (*Dir, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	s := &Dir{Path: dir}
	if err := os.MkdirAll(s.Own(""), 0o700); err != nil {
		return nil, err
	}
	if s.lock, err = lockFile(s.Own("lock")); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("another sould is running on this storage")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %q: %w", path, err)
	}
	return f, nil
}

func (s *Dir) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, orphanWait, fmt.Errorf("still there after %s", orphanWait))
	defer cancel()
	var err error
	if s.Leash, err = git.NewLeash(ctx, s.Own("children")); err != nil {
		return err
	}
	if s.Neutral, err = git.NewNeutral(s.Own("neutral")); err != nil {
		return err
	}
	if err := s.EnsureDirs(); err != nil {
		return err
	}
	if err := s.restore(); err != nil {
		return err
	}
	s.ID, err = s.readID()
	return err
}

// EnsureDirs creates those of sould's own directories that are missing. Somebody may remove
// one while the server runs, to free disk space.
func (s *Dir) EnsureDirs() error {
	for _, sub := range []string{"incoming", "trash", "tombstones", "cache"} {
		if err := os.MkdirAll(s.Own(sub), 0o700); err != nil {
			return err
		}
	}
	if isDir(s.Own(""), "neutral") {
		return nil
	}
	_, err := git.NewNeutral(s.Own("neutral"))
	return err
}

// readID reads the server's id. If there is none, it makes one.
func (s *Dir) readID() (string, error) {
	text, err := os.ReadFile(s.Own("id"))
	if id := strings.TrimSpace(string(text)); err == nil && id != "" {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := strings.ToLower(rand.Text())
	return id, durable.WriteFile(s.Own("id"), s.Own("id.new"), []byte(id+"\n"), 0o600)
}

// Close gives the directory up. Every child process must have ended.
func (s *Dir) Close() error {
	var err error
	if s.Leash != nil {
		err = s.Leash.Close()
	}
	return errors.Join(err, s.lock.Close())
}

// Own is a path in sould's own directory.
func (s *Dir) Own(sub string) string { return filepath.Join(s.Path, ownDir, sub) }

// MirrorDir is where the mirror of that name lies, if there is one.
func (s *Dir) MirrorDir(name Name) string { return filepath.Join(s.Path, name.Path()) }

// Staging creates a new directory in which a mirror can be built. It is on the storage's file
// system, so that Install can move it.
func (s *Dir) Staging() (string, error) {
	dir, err := os.MkdirTemp(s.Own("incoming"), "")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) // an ordinary repository; its secrets are in a file of mode 0600
}

// Install moves a complete mirror from its staging directory to its place. If a mirror is there
// already, the two change places; with spare, the old mirror goes to the trash instead. old is
// where the old mirror is then. SyncPlace makes this durable.
func (s *Dir) Install(staging string, name Name, spare bool) (old string, err error) {
	dir := s.MirrorDir(name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	err = os.Rename(staging, dir)
	switch {
	case isTaken(err) && spare:
		old, err = s.replace(staging, name)
	case isTaken(err):
		old, err = staging, s.exchange(staging, name)
	}
	if errors.Is(err, syscall.EXDEV) {
		err = fmt.Errorf("%s is on another file system than %s: all mirrors must be on one", filepath.Dir(dir), s.Own(""))
	}
	return old, err
}

// replace moves the new mirror to the trash, and then exchanges it with the old one. In this
// order a start never finds the old mirror where it would remove it.
func (s *Dir) replace(staging string, name Name) (old string, err error) {
	trash, err := s.trashFor(name, time.Now())
	if err != nil {
		return "", err
	}
	old = filepath.Join(trash, "mirror")
	if err = os.Rename(staging, old); err == nil {
		err = s.exchange(old, name)
	}
	if err != nil { // the trash holds the new mirror, or nothing
		return "", errors.Join(err, os.RemoveAll(trash))
	}
	return old, errors.Join(durable.Sync(trash), durable.Sync(s.Own("trash")))
}

// exchange lets the mirror of that name and another directory change places.
func (s *Dir) exchange(other string, name Name) error {
	err := exchange(other, s.MirrorDir(name))
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		err = s.exchangeSlowly(other, name)
	}
	return err
}

// isTaken reports whether a directory could not be renamed because there is another one with
// the new name.
func isTaken(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}

// exchangeSlowly is exchange for file systems that cannot do it in one step. If the daemon is
// interrupted between the steps, restore finds the mirror.
func (s *Dir) exchangeSlowly(other string, name Name) error {
	dir, aside := s.MirrorDir(name), filepath.Join(s.Own("replaced"), name.Path())
	if err := os.MkdirAll(filepath.Dir(aside), 0o700); err != nil {
		return err
	}
	if err := os.Rename(dir, aside); err != nil {
		return err
	}
	if err := os.Rename(other, dir); err != nil {
		return errors.Join(err, os.Rename(aside, dir))
	}
	return os.Rename(aside, other)
}

// restore puts back the mirrors that an interrupted daemon was replacing.
func (s *Dir) restore() error {
	replaced := &Dir{Path: s.Own("replaced")}
	var failed error
	err := replaced.Names(func(name Name) {
		err := os.MkdirAll(filepath.Dir(s.MirrorDir(name)), 0o755)
		if err == nil {
			err = os.Rename(replaced.MirrorDir(name), s.MirrorDir(name))
		}
		if !isTaken(err) { // else the new mirror is in place
			failed = errors.Join(failed, err)
		}
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("put back mirrors that were being replaced: %w", err)
	}
	return os.RemoveAll(replaced.Path)
}

// SyncPlace makes the directory entries durable that lead to a mirror.
func (s *Dir) SyncPlace(name Name) error {
	for dir := filepath.Dir(s.MirrorDir(name)); ; dir = filepath.Dir(dir) {
		if err := durable.Sync(dir); err != nil || dir == s.Path {
			return err
		}
	}
}

// SyncTree makes the files of a new mirror durable, except for its packs, which git has synced.
func SyncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || strings.HasPrefix(entry.Name(), "pack-") {
			return err
		}
		return durable.Sync(path) // fsync is the same for files
	})
}

// ClearPlace removes empty directories from the place where a mirror is to be created.
func (s *Dir) ClearPlace(name Name) error {
	dirs, err := s.standing(name)
	for i := len(dirs) - 1; err == nil && i >= 0; i-- {
		err = os.Remove(dirs[i])
	}
	return err
}

// CheckPlace returns a *Conflict if the place where a mirror is to be created is taken by
// anything but empty directories.
func (s *Dir) CheckPlace(name Name) error {
	_, err := s.standing(name)
	return err
}

// standing lists the directories in the place where a mirror is to be created, the outer ones
// first. The error is a *Conflict if they hold anything, or something else takes the place.
func (s *Dir) standing(name Name) (dirs []string, err error) {
	for _, above := range name.Above() {
		if info, err := os.Stat(s.MirrorDir(above)); err == nil && !info.IsDir() {
			return nil, Conflictf("%s is no directory", above)
		}
	}
	err = filepath.WalkDir(s.MirrorDir(name), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			if inside, err := filepath.Rel(s.Path, path); err == nil {
				path = inside
			}
			return Conflictf("there is something else in its place: %s", errtext.Clean(path))
		}
		dirs = append(dirs, path)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return dirs, err
}

// IsMirror reports whether there is a mirror of that name. What looks like a repository inside
// a mirror is none, since an origin's branches can look like one. It is an error if the disk
// does not tell.
func (s *Dir) IsMirror(name Name) (bool, error) {
	for _, above := range name.Above() {
		if s.IsLink(above) {
			return false, nil
		}
		if inside, err := looksLikeMirror(s.MirrorDir(above)); inside || err != nil {
			return false, err
		}
	}
	return looksLikeMirror(s.MirrorDir(name))
}

// looksLikeMirror reports whether a directory is a repository, or was one before it was
// damaged.
func looksLikeMirror(dir string) (bool, error) {
	if ok, err := git.IsRepo(dir); ok || err != nil {
		return ok, err
	}
	return IsFile(dir, StateFile) || isRemains(dir), nil
}

// isRemains reports whether a directory is a bare repository that has lost its HEAD. It looks
// for what only a repository has side by side: directories of objects, and refs or a
// configuration. A working copy has them below .git.
func isRemains(dir string) bool {
	return isDir(dir, "objects/pack") && isDir(dir, "objects/info") &&
		(IsFile(dir, "packed-refs") || IsFile(dir, "config")) && !IsFile(dir, ".git") && !isDir(dir, ".git")
}

// IsFile reports whether a directory has a regular file of that name.
func IsFile(dir, name string) bool {
	info, err := os.Lstat(filepath.Join(dir, name))
	return err == nil && info.Mode().IsRegular()
}

func isDir(dir, name string) bool {
	info, err := os.Lstat(filepath.Join(dir, name))
	return err == nil && info.IsDir()
}

// IsLink reports whether there is a symbolic link of that name. A mirror may be a link, but no
// directory above a mirror may: it could lead out of the storage, or give a mirror a second
// name.
func (s *Dir) IsLink(name Name) bool {
	info, err := os.Lstat(s.MirrorDir(name))
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// Names walks through the storage and calls found for each mirror. It skips what cannot be
// read, and tells of it in the error.
func (s *Dir) Names(found func(Name)) error { return s.names("", found) }

// NamesBelow is Names for the mirrors whose names lie inside that name.
func (s *Dir) NamesBelow(name Name, found func(Name)) error {
	err := s.names(name.String()+"/", found)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

func (s *Dir) names(prefix string, found func(Name)) error {
	entries, err := os.ReadDir(filepath.Join(s.Path, filepath.FromSlash(prefix)))
	if err != nil {
		return err
	}
	var unreadable []error
	for _, entry := range entries {
		name, err := ParseName(prefix + entry.Name())
		if err != nil {
			continue
		}
		switch mirror, err := looksLikeMirror(s.MirrorDir(name)); {
		case err != nil:
			unreadable = append(unreadable, err)
		case mirror:
			found(name)
		case entry.IsDir(): // not a link, which could lead in a circle
			if err := s.names(name.String()+"/", found); err != nil && !errors.Is(err, fs.ErrNotExist) {
				unreadable = append(unreadable, err)
			}
		}
	}
	return errors.Join(unreadable...)
}

// StateFile is sould's own file in a mirror.
const StateFile = "sould.json"
