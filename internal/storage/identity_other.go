//go:build unix && !linux

package storage

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Identify returns the identity of a directory, or the zero value if there is none.
func Identify(dir string) (Identity, error) {
	id, isDir, err := identify(dir, unix.Stat)
	if !isDir {
		id = Identity{}
	}
	return id, err
}

// identifyEntry is Identify for any kind of file; it does not follow a link.
func identifyEntry(path string) (Identity, error) {
	id, _, err := identify(path, unix.Lstat)
	return id, err
}

func identify(path string, look func(string, *unix.Stat_t) error) (id Identity, isDir bool, err error) {
	var stat unix.Stat_t
	err = look(path, &stat)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return Identity{}, false, nil
	}
	return Identity{device: uint64(stat.Dev), inode: stat.Ino}, stat.Mode&unix.S_IFMT == unix.S_IFDIR, err
}
