package git

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// bigPipe is how much a pipe holds between git and us, in bytes: the more, the
// less often one waits for the other.
const bigPipe = 1 << 20

func enlarge(pipe *os.File) {
	if conn, err := pipe.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, bigPipe) })
	}
}

// limitMemory bounds what a process allocates, in bytes, that has just been started. What
// it starts from now on inherits the limit.
func limitMemory(pid int, bytes uint64) {
	_ = unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: bytes, Max: bytes}, nil)
}

// ownMemory is what this process may allocate itself, in bytes.
func ownMemory() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return math.MaxUint64
	}
	return limit.Cur
}

// machineMemory is how much memory there is, in bytes; 0 where that cannot be told.
func machineMemory() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

// niceness is how much a patient process leaves to others (setpriority(2)).
const niceness = 10

func lowerPriority(pid int) { _ = unix.Setpriority(unix.PRIO_PGRP, pid, niceness) }

// spaceLeft is how many bytes can still be written to the file system of a directory.
// ok is false where that cannot be told.
func spaceLeft(dir string) (bytes uint64, ok bool) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, false
	}
	return fs.Bavail * uint64(fs.Bsize), true
}
