//go:build unix && !linux

package durable

import (
	"io/fs"
	"os"
)

func syncData(f *os.File) error { return f.Sync() }

// isOnlyLink cannot be told in the same way on all systems: files are written anew there.
func isOnlyLink(fs.FileInfo) bool { return false }
