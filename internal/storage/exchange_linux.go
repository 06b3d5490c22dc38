package storage

import "golang.org/x/sys/unix"

// exchange lets two directories change places in one step. Not every file system can do that.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// renameFree renames what has no other thing in its way, not even an empty directory. Not all
// file systems can.
func renameFree(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}
