//go:build unix && !linux

package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// identify returns the identity of a directory, or the zero value if there is
// none.
func identify(dir string) (identity, error) {
	var stat unix.Stat_t
	err := unix.Stat(dir, &stat)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || err == nil && stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return identity{}, nil
	}
	return identity{device: uint64(stat.Dev), inode: stat.Ino}, err
}
