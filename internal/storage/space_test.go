package storage

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSpace(t *testing.T) {
	s := newSpaceProbe(t.TempDir())
	space, err := s.measure(t.Context())
	if err != nil || space.Size == 0 || space.Free > space.Size {
		t.Errorf("%+v, %v", space, err)
	}
	gone := filepath.Join(t.TempDir(), "gone")
	if space, err := newSpaceProbe(gone).measure(t.Context()); !os.IsNotExist(err) {
		t.Errorf("of a directory that does not exist: %+v, %v", space, err)
	}
}
