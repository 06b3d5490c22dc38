// Package storage owns the directory of the mirrors. It checks their names, lets only one
// daemon use the directory, builds mirrors aside and puts them in place in one step, keeps
// removed mirrors in a trash, and remembers their names with tombstones.
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
	"sync"
	"syscall"
	"time"

	"github.com/reconquest/sould/internal/durable"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
)

// Dir is the directory of the mirrors. One daemon owns it at a time. sould's own files are in
// its subdirectory .sould:
//
//	id          tells this server from others
//	lock        locked by the daemon
//	children    locked by the daemon and by every git that it started
//	incoming/   mirrors that are being built, and views of others; worthless after a crash
//	replaced/   mirrors that are being replaced, if that takes more than one step
//	trash/      mirrors that were removed on purpose, and replaced ones that could not be
//	            read in full, for as long as the configuration says (keep)
//	tombstones/ the names of mirrors that were removed on purpose
//	neutral/    empty repositories through which archives are made
//	cache/      finished archives
//	pauses      hosts of origins that want to be left alone, and until when
//	reads       when mirrors were last read that reads have made
type Dir struct {
	Path    string // absolute, without symbolic links
	ID      string // tells this server from others, as long as the storage exists
	Leash   *git.Leash
	Neutral git.Neutral

	// Survivors lists mirrors that a crash left aside and that somebody may want, by their
	// paths in the trash.
	Survivors []string

	lock      *os.File
	root, own Identity // of Path and of .sould, when they were opened
	probe     *probe
	space     *spaceProbe

	trash sync.Mutex // held while a mirror that was moved to the trash is compared with the expected one
}

// ownDir is sould's own directory in a storage. No name of a mirror begins with a dot.
const ownDir = ".sould"

// orphanWait is how long a new daemon waits for the git processes of a killed daemon to end,
// after it has killed them.
const orphanWait = 30 * time.Second

// Open locks a directory for this daemon, and creates it if need be. It puts mirrors back that
// an interrupted daemon was replacing; RemoveLeftovers removes the rest of what that left.
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
	s.probe, s.space = newProbe(s.try), newSpaceProbe(dir)
	if s.root, s.own, err = s.identify(); err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
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

// ErrLost is returned when the directory at the storage's path is not the one that this server
// owns. Then nothing is known about mirrors, and nothing may be written.
var ErrLost = errors.New("the storage is not there any more, or another one is in its place: it was unmounted, moved or removed while the server ran: put it back, or restart sould if the new one is meant")

// CheckOwned checks that the storage is the one that was opened. The error is ErrLost, or says
// why that is unknown.
func (s *Dir) CheckOwned() error {
	root, own, err := s.identify()
	if err == nil && (root != s.root || own != s.own) {
		err = ErrLost
	}
	return err
}

func (s *Dir) identify() (root, own Identity, err error) {
	root, err = Identify(s.Path)
	if err == nil {
		own, err = Identify(s.Own(""))
	}
	return root, own, err
}

// Check returns why the storage cannot be used, or nil. It tries at most once a second, however
// many ask.
func (s *Dir) Check(ctx context.Context) error { return s.probe.Check(ctx) }

// try uses the storage once.
func (s *Dir) try() error {
	err := s.CheckOwned()
	if err == nil {
		err = s.ensureDirs()
	}
	if err == nil {
		err = writeAndRemove(s.Own("health"))
	}
	return err
}

// EnsureDirs creates those of sould's own directories that are missing: somebody may have
// removed one to make room while the server runs.
func (s *Dir) EnsureDirs() error {
	if err := s.ensureDirs(); err != nil {
		return err
	}
	if isDir(s.Own(""), "neutral") {
		return nil
	}
	_, err := git.NewNeutral(s.Own("neutral"))
	return err
}

func (s *Dir) ensureDirs() error {
	for _, sub := range []string{"incoming", "trash", "tombstones", "cache"} {
		if err := os.MkdirAll(s.Own(sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// readID reads the server's id, or creates one.
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

// Close releases the directory. Every child process must have ended.
func (s *Dir) Close() error {
	var err error
	if s.Leash != nil {
		err = s.Leash.Close()
	}
	return errors.Join(err, s.lock.Close())
}

// Own returns a path in sould's own directory.
func (s *Dir) Own(sub string) string { return filepath.Join(s.Path, ownDir, sub) }

// MirrorDir returns the path of the mirror with this name, which may not exist.
func (s *Dir) MirrorDir(name Name) string { return filepath.Join(s.Path, name.Path()) }

// Staging creates a directory in which a mirror can be built. It is on the storage's file
// system, so that Install can move it.
func (s *Dir) Staging() (string, error) {
	dir, err := os.MkdirTemp(s.Own("incoming"), "")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) // as of an ordinary repository; secrets are in a file of mode 0600
}

// SyncPlace makes the directory entries that lead to a mirror durable.
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
		return durable.Sync(path) // files as well as directories
	})
}

// ClearPlace removes empty directories at the place of a new mirror.
func (s *Dir) ClearPlace(name Name) error {
	dirs, err := s.emptyDirs(name)
	for i := len(dirs) - 1; err == nil && i >= 0; i-- {
		err = os.Remove(dirs[i])
	}
	return err
}

// CheckPlace returns an error if something other than empty directories is at the place of a
// new mirror. That is no mirror, and so a fault of this storage alone: other servers can have
// the mirror.
func (s *Dir) CheckPlace(name Name) error {
	_, err := s.emptyDirs(name)
	return err
}

// emptyDirs lists the directories at the place of a new mirror, the outer ones first. If
// anything is in them or in their place, it returns an error.
func (s *Dir) emptyDirs(name Name) (dirs []string, err error) {
	for _, above := range name.Above() {
		if info, err := os.Stat(s.MirrorDir(above)); err == nil && !info.IsDir() {
			return nil, fmt.Errorf("%s is not a directory", above)
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
			return fmt.Errorf("there is something else in its place: %s", errtext.Clean(path))
		}
		dirs = append(dirs, path)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return dirs, err
}

// IsMirror reports whether there is a mirror with this name. A directory in a mirror that looks
// like a repository is none: an origin's branches can look like that. The error says why that
// is unknown.
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
	return IsFile(dir, StateFile) || lacksHead(dir), nil
}

// lacksHead reports whether a directory is a bare repository that has lost its HEAD. It looks
// for directories of objects beside refs or a configuration. A working copy has these in .git.
func lacksHead(dir string) bool {
	return isDir(dir, "objects/pack") && isDir(dir, "objects/info") &&
		(IsFile(dir, "packed-refs") || IsFile(dir, "config")) && !IsFile(dir, ".git") && !isDir(dir, ".git")
}

// IsFile reports whether a directory has a regular file with this name.
func IsFile(dir, name string) bool {
	info, err := os.Lstat(filepath.Join(dir, name))
	return err == nil && info.Mode().IsRegular()
}

func isDir(dir, name string) bool {
	info, err := os.Lstat(filepath.Join(dir, name))
	return err == nil && info.IsDir()
}

// IsLink reports whether there is a symbolic link with this name. A mirror may be a link, but
// no directory above it: that could lead out of the storage, or give a mirror a second name.
func (s *Dir) IsLink(name Name) bool {
	info, err := os.Lstat(s.MirrorDir(name))
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// Names walks the storage and calls found for each mirror. It skips what it cannot read; the
// error says what that was.
func (s *Dir) Names(found func(Name)) error { return s.names("", found) }

// NamesBelow is Names for the mirrors whose names lie inside name.
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
