package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestOverwrite(t *testing.T) {
	write := func(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
	for _, c := range []struct {
		what   string
		change func(path string) error // what somebody does before
		offset int64
		want   string // the content then; empty for an error
	}{
		{"nothing", func(string) error { return nil }, 2, "abXYef"},
		{"nothing", func(string) error { return nil }, 4, "abcdXY"},
		{"nothing", func(string) error { return nil }, 5, ""}, // the file would grow
		{"nothing", func(string) error { return nil }, -1, ""},
		{"it was replaced", func(path string) error {
			return errors.Join(write(path+".new", "ABCDEF"), os.Rename(path+".new", path))
		}, 2, ""},
		{"it was written to", func(path string) error {
			return errors.Join(write(path, "ABCDEF"), os.Chtimes(path, time.Time{}, time.Unix(1, 0)))
		}, 2, ""},
		{"it was cut", func(path string) error { return os.Truncate(path, 5) }, 2, ""},
		{"it was removed", os.Remove, 2, ""},
		{"a backup shares it", func(path string) error { return os.Link(path, path+".backup") }, 2, ""},
		{"it became a link", func(path string) error {
			return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
		}, 2, ""},
		{"it became a directory", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }, 2, ""},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := write(path, "abcdef"); err != nil {
			t.Fatal(err)
		}
		was, err := VersionOf(path)
		if err := errors.Join(err, c.change(path)); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(path) // none of a file that is gone
		_, err = Overwrite(path, was, c.offset, []byte("XY"))
		after, _ := os.ReadFile(path)
		want := c.want
		if want == "" {
			want = string(before)
		}
		if string(after) != want || (err == nil) != (c.want != "") {
			t.Errorf("%s, at %d: the content is %q, want %q; %v", c.what, c.offset, after, want, err)
		}
	}
	if _, err := Overwrite(filepath.Join(t.TempDir(), "file"), Version{}, 0, nil); err == nil {
		t.Error("a version that is none was taken")
	}
}

// TestOverwriteAgain: the version that is returned is that of the file.
func TestOverwriteAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	version, err := VersionOf(path)
	for _, data := range []string{"AB", "xy", "XY"} {
		if err == nil {
			version, err = Overwrite(path, version, 1, []byte(data))
		}
	}
	if text, readErr := os.ReadFile(path); err != nil || readErr != nil || string(text) != "aXYdef" {
		t.Errorf("%q, %v, %v", text, err, readErr)
	}
}

// TestOverwriteSoon does what Overwrite does, as far as can be told without a loss of power.
func TestOverwriteSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	was, err := VersionOf(path)
	if err != nil {
		t.Fatal(err)
	}
	if was, err = OverwriteSoon(path, was, 4, []byte("xy")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "0123xy6789" {
		t.Errorf("%q %v", text, err)
	}
	if err := os.WriteFile(path, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OverwriteSoon(path, was, 4, []byte("xy")); !errors.Is(err, ErrOtherVersion) {
		t.Errorf("a file of somebody else: %v", err)
	}
}
