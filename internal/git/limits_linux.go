package git

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// bigPipe is the capacity of the pipe between git and this process, in bytes: the more, the
// less often one waits for the other.
const bigPipe = 1 << 20

func enlargePipe(pipe *os.File) {
	if conn, err := pipe.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, bigPipe) })
	}
}

// limitMemory limits what a process that has just been started may allocate, in bytes. Its
// later children inherit the limit.
func limitMemory(pid int, bytes uint64) {
	_ = unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: bytes, Max: bytes}, nil)
}

// ownMemory is the limit of this process's own memory, in bytes.
func ownMemory() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return math.MaxUint64
	}
	return limit.Cur
}

// machineMemory is the size of the machine's memory, in bytes; 0 if it is unknown.
func machineMemory() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

// niceness is the priority of a process group with lowered priority (setpriority(2)).
const niceness = 10

func lowerPriority(pid int) { _ = unix.Setpriority(unix.PRIO_PGRP, pid, niceness) }

// spaceLeft is the free space of a directory's file system, in bytes. ok is false if it is
// unknown.
func spaceLeft(dir string) (bytes uint64, ok bool) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, false
	}
	return fs.Bavail * uint64(fs.Bsize), true
}
