package storage

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Identify returns the identity of a directory, or the zero value if there is none. An inode
// number alone is not enough, because file systems reuse it.
func Identify(dir string) (Identity, error) {
	id, isDir, err := identify(dir, 0)
	if !isDir {
		id = Identity{}
	}
	return id, err
}

// identifyEntry is Identify for any kind of file; it does not follow a link.
func identifyEntry(path string) (Identity, error) {
	id, _, err := identify(path, unix.AT_SYMLINK_NOFOLLOW)
	return id, err
}

func identify(path string, flags int) (id Identity, isDir bool, err error) {
	var stat unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_INO|unix.STATX_BTIME|unix.STATX_TYPE, &stat)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return Identity{}, false, nil
	}
	return Identity{
		device: unix.Mkdev(stat.Dev_major, stat.Dev_minor),
		inode:  stat.Ino,
		born:   stat.Btime.Sec*1e9 + int64(stat.Btime.Nsec),
	}, stat.Mode&unix.S_IFMT == unix.S_IFDIR, err
}
