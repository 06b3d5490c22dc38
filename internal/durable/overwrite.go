package durable

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Version tells one version of a file's content from others, as far as the file's identity, size
// and time tell. The zero value is no version.
type Version struct{ info fs.FileInfo }

// VersionOf returns the version that a path has now. It does not follow a link.
func VersionOf(path string) (Version, error) {
	info, err := os.Lstat(path)
	return Version{info}, err
}

// is reports whether a file has this version, and no other name by which somebody keeps it.
func (v Version) is(info fs.FileInfo) bool {
	return v.info != nil && os.SameFile(v.info, info) && v.info.Size() == info.Size() && v.info.ModTime().Equal(info.ModTime()) &&
		info.Mode().IsRegular() && isOnlyLink(info)
}

// ErrOtherVersion means that a file is not as the caller knows it.
var ErrOtherVersion = errors.New("the file was changed by somebody else")

// Overwrite writes data into a file in place, if the file still has that version, and returns the
// next one. The bytes must exist already, so that the size stays the same. When Overwrite returns
// without an error, the data is on disk. A loss of power, or an error other than ErrOtherVersion,
// may leave any mixture of old and new bytes in each sector of the range, but not outside of it.
//
// It costs an eighth of [WriteFile], because the file system has nothing to write but the data.
func Overwrite(path string, was Version, offset int64, data []byte) (Version, error) {
	return overwrite(path, was, offset, data, syncData)
}

// OverwriteSoon is Overwrite, but for when the data gets to disk: that is up to the kernel. A loss of
// power until then may leave the old bytes as well; the end of this process changes nothing.
func OverwriteSoon(path string, was Version, offset int64, data []byte) (Version, error) {
	return overwrite(path, was, offset, data, func(*os.File) error { return nil })
}

func overwrite(path string, was Version, offset int64, data []byte, sync func(*os.File) error) (Version, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return Version{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Version{}, err
	}
	if !was.is(info) || offset < 0 || offset+int64(len(data)) > info.Size() {
		return Version{}, ErrOtherVersion
	}
	if _, err := f.WriteAt(data, offset); err != nil {
		return Version{}, err
	}
	if err := sync(f); err != nil {
		return Version{}, err
	}
	info, err = f.Stat()
	return Version{info}, err
}
