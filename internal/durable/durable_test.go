package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestWriteFile: an existing temporary file has no influence, and is not written to.
func TestWriteFile(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	for what, prepare := range map[string]func(temporary string) error{
		"nothing":                  func(string) error { return nil },
		"a file that all may read": func(path string) error { return os.WriteFile(path, []byte("{}"), 0o644) },
		"a link to elsewhere":      func(path string) error { return os.Symlink(outside, path) },
		"a directory":              func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o755) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if err := errors.Join(os.WriteFile(outside, []byte("theirs"), 0o644), prepare(path+".new")); err != nil {
			t.Fatal(err)
		}
		for _, data := range []string{"one", "two"} {
			if err := WriteFile(path, path+".new", []byte(data), 0o600); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if got, err := os.ReadFile(path); string(got) != data || err != nil {
				t.Errorf("%s: %q, %v", what, got, err)
			}
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", what, info, err)
		}
		if text, err := os.ReadFile(outside); string(text) != "theirs" || err != nil {
			t.Errorf("%s: outside there is now %q, %v", what, text, err)
		}
		if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
			t.Errorf("%s: there are %q, %v", what, entries, err)
		}
	}
}

// TestFailureLeavesTheOld: a directory cannot be replaced by a file.
func TestFailureLeavesTheOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, path+".new", []byte("data"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if entries, err := os.ReadDir(dir); len(entries) != 1 || entries[0].Name() != "file" || err != nil {
		t.Errorf("there are %q, %v", entries, err)
	}
}
