package mirror

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
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

// TestCredentialsOfAPullThatFailed do not replace those that are known to be right, although a
// replica had something newer.
func TestCredentialsOfAPullThatFailed(t *testing.T) {
	t.Parallel()
	parse := func(url string) origin.URL {
		u, err := origin.Parse(url, false)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	const right, wrong, other = "https://jack:right@git/m", "https://jack:wrong@git/m", "https://jack:wrong@git/n"
	replica, reached := Source{Peer: "b"}, Source{Peer: "b", ReachedOrigin: true}
	for _, c := range []struct {
		what, stored, posted string
		src                  Source
		password             string
	}{
		{"the origin was read", right, wrong, Source{}, "wrong"},
		{"the replica has reached it", right, wrong, reached, "wrong"},
		{"the replica has not", right, wrong, replica, "right"},
		{"nor did the mirror need any", "https://git/m", wrong, replica, ""},
		{"there was no mirror", "", wrong, replica, "wrong"},
		{"the mirror moves", right, other, replica, "wrong"},
	} {
		var s stateFile
		if c.stored != "" {
			s.setOrigin(parse(c.stored))
		}
		next := s.successor()
		s.setSource(parse(c.posted), c.src, time.Now())
		next.setSource(parse(c.posted), c.src, time.Now())
		if s.Password != c.password || next.Password != c.password {
			t.Errorf("%s: %q, and %q when it is replaced; not %q", c.what, s.Password, next.Password, c.password)
		}
	}
}
