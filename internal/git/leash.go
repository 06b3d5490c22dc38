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
	"syscall"
	"time"
)

// Leash is a locked file that every child of this process holds open, helpers
// of helpers included. The kernel releases the lock when the last of them is
// gone, so a new daemon learns from it whether a git of a daemon that was killed
// is still writing, and from the file's other holders which processes these are.
type Leash struct {
	file *os.File
	fork sync.RWMutex // held for reading while a child starts, for writing by Close and Kill
	gone bool         // guarded by fork
}

// ErrClosed is returned for a command that was to start after Close or Kill.
var ErrClosed = errors.New("shutting down")

// NewLeash takes the leash at path, which is created if need be. Whatever still
// holds it, left behind by a daemon that was killed, is ended first. The caller
// must have made sure that no other daemon is alive.
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

// killHolders ends all processes but this one that have f's file open. Where
// there is no /proc to ask, it ends none, and the caller goes on waiting.
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

// start starts a child that holds the leash. Without a leash, it just starts.
func (l *Leash) start(cmd *exec.Cmd) error {
	if l == nil {
		return cmd.Start()
	}
	l.fork.RLock()
	defer l.fork.RUnlock()
	if l.gone {
		return ErrClosed
	}
	return cmd.Start()
}

// Close lets no further child start and lets go of the leash. Children that are
// still alive keep holding it.
func (l *Leash) Close() error {
	l.fork.Lock()
	defer l.fork.Unlock()
	l.gone = true
	return l.file.Close()
}

// Kill lets no further child start, and ends every one that is there at once. Who waits for the
// place of another one would take it then.
func (l *Leash) Kill() {
	l.fork.Lock()
	l.gone = true
	l.fork.Unlock()
	_ = killHolders(l.file)
}
