// Package durable writes files so that after a loss of power they have the old or the new
// content, and nothing in between: it writes a temporary file, syncs it, renames it, and syncs
// the directory. [Overwrite] is for a few bytes in a file whose reader can tell a mixture.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces the content of a file. It writes to the file temporary first, in the same
// directory; an existing one is removed. When WriteFile returns without an error, the new
// content is on disk; after an error, the old one is in place.
func WriteFile(path, temporary string, data []byte, mode os.FileMode) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(temporary, flags, mode)
	if errors.Is(err, fs.ErrExist) { // it may be readable for others, or be a link
		if err := os.RemoveAll(temporary); err != nil {
			return err
		}
		f, err = os.OpenFile(temporary, flags, mode)
	}
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close(), os.Remove(temporary))
	}
	return Replace(f, path)
}

// Replace syncs and closes f, and renames it to path, in the same directory. After an error, f
// is removed.
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

// Sync makes the entries of a directory, or the content of a file, survive a loss of power
// (fsync(2)).
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
