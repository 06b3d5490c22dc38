package storage

import "golang.org/x/sys/unix"

// exchange makes two directories change places in one step (renameat2(2)). Not every file
// system can do that.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// renameFree renames a file if nothing has its new name, not even an empty directory
// (renameat2(2)). Not every file system can do that.
func renameFree(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}
