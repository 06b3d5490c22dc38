package storage

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Space is the size of the file system that the storage is on, and what of it sould's user may
// still take, in bytes.
type Space struct{ Size, Free uint64 }

// Space returns the space as it was a second ago at most. On a disk that hangs the error says so
// within two seconds.
func (s *Dir) Space(ctx context.Context) (Space, error) { return s.space.measure(ctx) }

// spaceProbe measures the space, one look at a time.
type spaceProbe struct {
	probe  *probe
	latest atomic.Pointer[Space]
}

func newSpaceProbe(dir string) *spaceProbe {
	s := &spaceProbe{}
	s.probe = newProbe(func() error {
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			return err
		}
		block := uint64(fs.Bsize)
		s.latest.Store(&Space{Size: fs.Blocks * block, Free: fs.Bavail * block})
		return nil
	})
	return s
}

func (s *spaceProbe) measure(ctx context.Context) (Space, error) {
	if err := s.probe.Check(ctx); err != nil {
		return Space{}, err
	}
	return *s.latest.Load(), nil
}

// Usage returns what a directory takes on disk with all that is in it, in bytes. What vanishes
// meanwhile is not counted.
func Usage(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				bytes += blocks(info)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	})
	return bytes, err
}

// blocks is what a file takes on disk (stat(3type): st_blocks counts 512 bytes each).
func blocks(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * 512
	}
	return info.Size()
}
