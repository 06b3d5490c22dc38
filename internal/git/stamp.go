package git

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// stamper makes a stamp: a text with the names of files, and what their times and sizes are. A
// directory's time changes with each name in it, so as long as all directories in a stamp are the
// same, it lacks no file.
type stamper struct {
	repo Repo
	text strings.Builder
}

// add adds a file, whether it exists or not. A relative name is that of a file in the repository.
// It returns the size in bytes; ok is false if there is no file.
func (s *stamper) add(name string) (size int64, ok bool) {
	info, err := os.Stat(s.repo.path(name))
	s.text.WriteString(name + "\x00" + fileStamp(info, err) + "\x00")
	if err != nil {
		return 0, false
	}
	return info.Size(), true
}

func (r Repo) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return r.Dir + "/" + name
}

// fileStamp is empty if a file cannot be looked at.
func fileStamp(info fs.FileInfo, err error) string {
	if err != nil {
		return ""
	}
	return strconv.FormatInt(info.ModTime().UnixNano(), 36) + " " + strconv.FormatInt(info.Size(), 36)
}

// HasStamp reports whether a stamp that was made of this repository would be the same now. That
// costs one stat for each file in it, and reads no directory.
func (r Repo) HasStamp(stamp string) bool {
	for rest := stamp; rest != ""; {
		var name, want string
		name, rest, _ = strings.Cut(rest, "\x00")
		want, rest, _ = strings.Cut(rest, "\x00")
		if fileStamp(os.Stat(r.path(name))) != want {
			return false
		}
	}
	return stamp != ""
}
