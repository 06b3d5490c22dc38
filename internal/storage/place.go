package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// CheckPlace checks that a directory for Open can be written, or be made. It makes nothing. dir is absolute.
func CheckPlace(dir string) error {
	there := dir
	info, err := os.Stat(there)
	for errors.Is(err, fs.ErrNotExist) && there != filepath.Dir(there) {
		there = filepath.Dir(there)
		info, err = os.Stat(there)
	}
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("something above %s is a file, and no directory can be in it", dir)
	case err != nil:
		return err
	case !info.IsDir() && there == dir:
		return fmt.Errorf("%s is a file: write the name of a directory", dir)
	case !info.IsDir():
		return fmt.Errorf("%s is a file: %s cannot be a directory in it", there, dir)
	}
	const readWriteEnter = 7 // access(2)
	if err := syscall.Access(there, readWriteEnter); err != nil {
		return fmt.Errorf("%s cannot be written by this user (%w): change its owner, or name another directory", there, err)
	}
	return nil
}
