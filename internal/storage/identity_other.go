//go:build unix && !linux

package storage

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Identify returns the identity of a directory, or the zero value if there is no such
// directory.
func Identify(dir string) (Identity, error) {
	var stat unix.Stat_t
	err := unix.Stat(dir, &stat)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || err == nil && stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return Identity{}, nil
	}
	return Identity{device: uint64(stat.Dev), inode: stat.Ino}, err
}
