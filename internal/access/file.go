package access

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/reconquest/sould/internal/units"
)

// MaxFile is the size of the largest file that ReadFile reads, in bytes.
const MaxFile = 256 << 10

// CheckPath returns why a path is not what whoever has written it means, or nil: a shell puts a home
// directory in the place of a ~, and nobody else does.
func CheckPath(path string) error {
	if strings.HasPrefix(path, "~") {
		return fmt.Errorf("%q begins with a ~, which stands for a home directory in a shell alone: write the path in full", path)
	}
	return nil
}

// ReadFile reads a file that an operator has named. It refuses a path that CheckPath does, a file that is
// not regular, since reading it may never end, and one larger than MaxFile.
func ReadFile(path string) ([]byte, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	// Without O_NONBLOCK, opening a FIFO may never return.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New(path + " is not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(text) > MaxFile {
		err = fmt.Errorf("%s is larger than %s", path, units.FormatSize(MaxFile))
	}
	return text, err
}
