package mirror

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
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
		{stateFile{Checked: at, CheckError: "missing blob", Rebuilt: at}, ""},
		{stateFile{Checked: at, CheckError: "missing blob", Rebuilt: at.Add(-time.Hour)}, "missing blob"},
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

// TestStateFileIsSecret, whatever was at the path of its temporary file.
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
			t.Errorf("%s: the file outside is now %q, %v", what, text, err)
		}
		if state, err := readState(dir); state.Password != "secret" || err != nil {
			t.Errorf("%s: %+v, %v", what, state, err)
		}
		if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
			t.Errorf("%s: the directory has %q, %v", what, entries, err)
		}
	}
}

// TestRecordCheck: readers see what is on disk, and nothing else.
func TestRecordCheck(t *testing.T) {
	m := &Mirror{store: &Store{}, dir: t.TempDir()}
	m.setSnapshot(&Snapshot{})
	h := m.hold(&Options{Git: git.New(git.Options{})}, nil)
	if err := h.recordCheck(errors.New("one is broken\n"), nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	before := m.Snapshot()
	state, err := readState(m.dir)
	if err != nil || state.CheckError != "one is broken" || !state.Checked.Equal(before.Checked) || before.CheckError != state.CheckError {
		t.Errorf("on disk is %+v (%v), readers see %+v", state, err, before)
	}
	m.dir = filepath.Join(m.dir, "gone")
	if err := h.recordCheck(nil, nil, time.Now()); err == nil {
		t.Error("recorded where nothing can be written")
	}
	if m.Snapshot() != before || h.state().CheckError != "one is broken" {
		t.Errorf("readers see %+v, which is not on disk", m.Snapshot())
	}
}
