package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Leash is a locked file that every child of this process holds open, and the children's
// children too. The kernel releases the lock when the last of them is gone. So a new daemon
// learns from the lock whether a git of a killed daemon is still writing, and from the holders
// of the file which processes these are.
type Leash struct {
	file   *os.File
	fork   sync.RWMutex // held for reading while a child starts, for writing by Close and Kill
	closed bool         // guarded by fork

	running atomic.Int64
	started atomic.Uint64
}

// ErrClosed is returned for a command that is started after Close or Kill.
var ErrClosed = errors.New("shutting down")

// NewLeash locks the file at path, and creates it if need be. Processes that a killed daemon
// left behind and that still hold the file are killed first. The caller must have made sure
// that no other daemon is alive.
func NewLeash(ctx context.Context, path string) (*Leash, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Leash{file: f}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %q: %w", path, err)
		}
		if err := killHolders(f); err != nil {
			f.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("git processes of an earlier daemon hold %q: %w", path, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// killHolders kills all processes but this one that have f's file open. Without /proc it kills
// none, and the caller goes on waiting.
func killHolders(f *os.File) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		info, err := os.Stat(fd)
		if err != nil || !os.SameFile(info, mine) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(fd))))
		if err != nil || pid == os.Getpid() {
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return nil
}

// start starts a child that holds the leash. A nil Leash only starts it.
func (l *Leash) start(cmd *exec.Cmd) error {
	if l == nil {
		return cmd.Start()
	}
	l.fork.RLock()
	defer l.fork.RUnlock()
	if l.closed {
		return ErrClosed
	}
	err := cmd.Start()
	if err == nil {
		l.running.Add(1)
		l.started.Add(1)
	}
	return err
}

// ended records that a child which start has started is gone.
func (l *Leash) ended() {
	if l != nil {
		l.running.Add(-1)
	}
}

// Children returns how many children run now, and how many were started so far. Processes that
// the children start do not count.
func (l *Leash) Children() (running int64, started uint64) { return l.running.Load(), l.started.Load() }

// Close lets no further child start, and closes the file. Children that are still alive go on
// holding it.
func (l *Leash) Close() error {
	l.fork.Lock()
	defer l.fork.Unlock()
	l.closed = true
	return l.file.Close()
}

// Kill lets no further child start, and kills all at once: one that waits for another's place
// must not get it.
func (l *Leash) Kill() {
	l.fork.Lock()
	l.closed = true
	l.fork.Unlock()
	_ = killHolders(l.file)
}
