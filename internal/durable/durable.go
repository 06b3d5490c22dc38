// Package durable writes files so that a loss of power leaves the old content or the new
// one, and nothing in between: write aside, fsync, rename, fsync the directory.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteFile makes data the content of a file. It is written to temporary first, in the same
// directory; what stands there is removed. When WriteFile returns without an error, the new
// content is on disk; after an error, the old one is in place.
func WriteFile(path, temporary string, data []byte, mode os.FileMode) error {
	// What stands there may be readable for others, or be a link to somewhere else.
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close(), os.Remove(temporary))
	}
	return Replace(f, path)
}

// Replace puts a file that was written in the place of another one in the same directory,
// and closes it. After an error, f is removed.
func Replace(f *os.File, path string) error {
	err := errors.Join(f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return Sync(filepath.Dir(path))
}

// Sync makes the names of a directory's entries, or the content of a file, survive a loss of
// power (fsync(2)).
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
