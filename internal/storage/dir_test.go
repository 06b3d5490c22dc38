package storage

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstall puts a mirror in the place of another one, by one step or, where the file
// system has none, by several, and stops after each of them as a power failure would.
func TestInstall(t *testing.T) {
	name, err := ParseName("a/m")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, here string // the mirror that a start finds
		install    func(s *Dir, staging string) error
	}{
		{"in one step", "new", func(s *Dir, staging string) error { _, err := s.Install(staging, name, false); return err }},
		{"in several", "new", func(s *Dir, staging string) error { return s.exchangeSlowly(staging, name) }},
		{"after the first", "old", func(s *Dir, staging string) error {
			aside := filepath.Join(s.Own("replaced"), name.Path())
			if err := os.MkdirAll(filepath.Dir(aside), 0o700); err != nil {
				return err
			}
			return os.Rename(s.MirrorDir(name), aside)
		}},
		{"after the second", "new", func(s *Dir, staging string) error {
			err := s.exchangeSlowly(staging, name)
			if err == nil {
				err = os.MkdirAll(filepath.Dir(filepath.Join(s.Own("replaced"), name.Path())), 0o700)
			}
			if err == nil {
				err = os.Rename(staging, filepath.Join(s.Own("replaced"), name.Path()))
			}
			return err
		}},
		{"when the new one is gone", "old", func(s *Dir, staging string) error {
			if err := os.RemoveAll(staging); err != nil {
				return err
			}
			if s.exchangeSlowly(staging, name) == nil {
				t.Error("put in place what is not there")
			}
			return nil
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			open := func() *Dir {
				s, err := Open(context.Background(), dir)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			build := func(s *Dir, text string) string {
				staging, err := s.Staging()
				if err == nil {
					err = os.WriteFile(filepath.Join(staging, StateFile), []byte(text), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				return staging
			}
			s := open()
			if _, err := s.Install(build(s, "old"), name, true); err != nil {
				t.Fatal(err)
			}
			if err := c.install(s, build(s, "new")); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open()
			defer s.Close()
			if err := s.RemoveLeftovers(); err != nil {
				t.Error(err)
			}
			text, err := os.ReadFile(filepath.Join(s.MirrorDir(name), StateFile))
			if err != nil || string(text) != c.here {
				t.Errorf("the mirror is %q (%v), not the %s one", text, err, c.here)
			}
			for _, sub := range []string{"incoming", "replaced", "trash"} {
				if left, err := os.ReadDir(s.Own(sub)); err != nil && !os.IsNotExist(err) || len(left) > 0 {
					t.Errorf("in %s is %v (%v)", sub, left, err)
				}
			}
		})
	}
}

// TestInstallSpares the old mirror if it is told to, and leaves nothing behind if it fails.
func TestInstallSpares(t *testing.T) {
	s, err := Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	name, err := ParseName("m")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(s.MirrorDir(name), "old"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Install(s.Own("none"), name, true); err == nil {
		t.Error("put in place what is not there")
	}
	if left, err := os.ReadDir(s.Own("trash")); err != nil || len(left) != 0 {
		t.Errorf("in the trash is %v (%v)", left, err)
	}
	staging, err := s.Staging()
	if err != nil {
		t.Fatal(err)
	}
	old, err := s.Install(staging, name, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(old, "old")); err != nil {
		t.Errorf("the old mirror is not in %q: %v", old, err)
	}
	if _, ok := discardedAt(filepath.Base(filepath.Dir(old))); !ok {
		t.Errorf("%q is no place where it is kept", old)
	}
}

// TestWhatIsAMirror is about directories in a storage, of which not all are sould's.
func TestWhatIsAMirror(t *testing.T) {
	const bare = "HEAD config packed-refs refs/ objects/pack/ objects/info/ "
	for _, c := range []struct {
		what, files string // names that end with a slash are directories
		want        string // names of mirrors
	}{
		{"a repository", "m/: " + bare, "m"},
		{"no state, no HEAD", "m/: config packed-refs refs/ objects/pack/ objects/info/", "m"},
		{"no refs either", "m/: config objects/pack/ objects/info/", "m"},
		{"no configuration either", "m/: packed-refs objects/pack/ objects/info/", "m"},
		{"directories in the place of files", "m/: HEAD/ sould.json/ config packed-refs objects/pack/ objects/info/", "m"},
		{"the state alone", "m/: sould.json", "m"},
		{"objects alone", "m/: objects/pack/ objects/info/", ""},
		{"a configuration of something else", "m/: config objects/ readme", ""},
		{"a working copy", "m/: .git/ config objects/pack/ objects/info/", ""},
		{"a work tree", "m/: .git config objects/pack/ objects/info/", ""},
		{"a directory of mirrors with funny names", "m/: config packed-refs; m/objects/: " + bare, "m/objects"},
		{"another one", "m/: config; m/objects/pack/: " + bare, "m/objects/pack"},
		{"a mirror in what is left of one", "m/: config objects/pack/ objects/info/; m/refs/heads/: " + bare, "m"},
	} {
		s := &Dir{Path: t.TempDir()}
		for group := range strings.SplitSeq(c.files, "; ") {
			dir, files, _ := strings.Cut(group, ": ")
			for name := range strings.FieldsSeq(files) {
				path := filepath.Join(s.Path, dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				var err error
				if strings.HasSuffix(name, "/") {
					err = os.MkdirAll(path, 0o755)
				} else {
					err = os.WriteFile(path, nil, 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		var found []string
		if err := s.Names(func(name Name) { found = append(found, name.String()) }); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if got := strings.Join(found, " "); got != c.want {
			t.Errorf("%s: found %q, want %q", c.what, got, c.want)
		}
	}
}
