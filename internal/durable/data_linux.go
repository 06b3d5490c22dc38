package durable

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// syncData makes the content of a file of unchanged size survive a loss of power, without its times
// (fdatasync(2)).
func syncData(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = unix.Fdatasync(int(fd))
		}
	})
	return errors.Join(controlErr, err)
}

// isOnlyLink reports whether a file has one name.
func isOnlyLink(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 1
}
