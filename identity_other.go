//go:build unix && !linux

package main

import "golang.org/x/sys/unix"

// identify returns the identity of a directory, or the zero value if there is
// none.
func identify(dir string) identity {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return identity{}
	}
	return identity{device: uint64(stat.Dev), inode: stat.Ino}
}
