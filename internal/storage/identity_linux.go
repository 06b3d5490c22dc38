package storage

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Identify returns the identity of a directory, or the zero value if there is no such
// directory. An inode number alone is not enough, because the file system reuses it.
func Identify(dir string) (Identity, error) {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_INO|unix.STATX_BTIME|unix.STATX_TYPE, &stat)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || err == nil && stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return Identity{}, nil
	}
	return Identity{
		device: unix.Mkdev(stat.Dev_major, stat.Dev_minor),
		inode:  stat.Ino,
		born:   stat.Btime.Sec*1e9 + int64(stat.Btime.Nsec),
	}, err
}
