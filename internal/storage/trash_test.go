package storage

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestTrash checks what is left after a restart, and after the time of retention.
func TestTrash(t *testing.T) {
	dir := t.TempDir()
	open := func() *Dir {
		s, err := Open(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	name, err := ParseName("a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	for range 2 { // in one second
		if err := os.MkdirAll(filepath.Join(s.MirrorDir(name), "objects"), 0o755); err != nil {
			t.Fatal(err)
		}
		meant, err := Identify(s.MirrorDir(name))
		if err != nil {
			t.Fatal(err)
		}
		to, err := s.MoveToTrash(name, meant, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SyncTrash(name, to); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(s.Path, "a")); !os.IsNotExist(err) {
		t.Errorf("the empty directories above are still there: %v", err)
	}
	if err := s.WriteTombstone(name, Tombstone{Name: name.String(), At: now}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.Own("trash/theirs"), 0o700); err != nil { // not made by sould
		t.Fatal(err)
	}
	left := func(sub string) (names []string) {
		entries, err := os.ReadDir(s.Own(sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	if err := s.RemoveLeftovers(); err != nil {
		t.Fatal(err)
	}
	if got := left("trash"); !slices.Equal(got, []string{"1000-a%2Fb%2Fc", "1000.1-a%2Fb%2Fc", "theirs"}) {
		t.Errorf("after a restart there are %q", got)
	}
	for _, c := range []struct {
		after, keep time.Duration
		trash, tomb int
	}{
		{time.Hour - 1, time.Hour, 3, 1}, {MinRetention - 1, 0, 1, 1}, {MinRetention, time.Hour, 1, 0},
	} {
		if err := s.Expire(now.Add(c.after), c.keep); err != nil {
			t.Fatal(err)
		}
		if trash, tomb := left("trash"), left("tombstones"); len(trash) != c.trash || len(tomb) != c.tomb {
			t.Errorf("%+v: there are %q and %q", c, trash, tomb)
		}
	}
}

func TestClean(t *testing.T) {
	s := &Dir{Path: t.TempDir()}
	for path, stays := range map[string]bool{
		"tombstones/.new-123": false, "tombstones/m": true, "trash/1800000000-m": true, "trash/1800000000.1-m": true, "trash/123456": true, "incoming/123456": false,
	} {
		if err := os.MkdirAll(filepath.Dir(s.Own(path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.Own(path), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := os.Stat(s.Own(path)); (err == nil) != stays {
				t.Errorf("%s: %v", path, err)
			}
		}()
	}
	if err := s.RemoveLeftovers(); err != nil {
		t.Fatal(err)
	}
}
