package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

func TestDamageInTheStateFile(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		state stateFile
		want  string
	}{
		{stateFile{}, ""},
		{stateFile{Checked: at}, ""},
		{stateFile{Checked: at, CheckError: "missing blob"}, "missing blob"},
		{stateFile{Checked: at, CheckError: "missing blob", Mended: at}, ""},
		{stateFile{Checked: at, CheckError: "missing blob", Mended: at.Add(-time.Hour)}, "missing blob"},
	} {
		got := ""
		if damage := c.state.damage(); damage != nil {
			got = damage.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q", c.state, got)
		}
	}
}

// TestStateFileIsSecret, whatever stood where it is written before it takes its place.
func TestStateFileIsSecret(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	for what, prepare := range map[string]func(path string) error{
		"nothing":                   func(string) error { return nil },
		"a file that all may read":  func(path string) error { return os.WriteFile(path, []byte("{}"), 0o644) },
		"a link out of the storage": func(path string) error { return os.Symlink(outside, path) },
		"a directory":               func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o755) },
	} {
		dir := t.TempDir()
		if err := errors.Join(os.WriteFile(outside, []byte("theirs"), 0o644), prepare(filepath.Join(dir, storage.StateFile+".new"))); err != nil {
			t.Fatal(err)
		}
		if err := (&stateFile{Password: "secret"}).write(dir); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		info, err := os.Lstat(filepath.Join(dir, storage.StateFile))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s: the mode is %s", what, info.Mode())
		}
		if text, err := os.ReadFile(outside); string(text) != "theirs" || err != nil {
			t.Errorf("%s: outside there is now %q, %v", what, text, err)
		}
		if state, err := readState(dir); state.Password != "secret" || err != nil {
			t.Errorf("%s: %+v, %v", what, state, err)
		}
		if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
			t.Errorf("%s: there are %q, %v", what, entries, err)
		}
	}
}
