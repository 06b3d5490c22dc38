package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// inode tells whether a file was replaced.
func inode(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestStateInPlace: what is written is read again, and a file is written anew only if more than its
// dates is new, or if somebody else has changed it.
func TestStateInPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, storage.StateFile)
	at := time.Date(2026, 11, 28, 9, 0, 0, 123456789, time.UTC)
	state := stateFile{Origin: "https://h/x", Password: "p", Outcome: Success, Pulled: at}
	var file stateOnDisk
	for _, c := range []struct {
		what    string
		change  func(s *stateFile) error
		inPlace bool
	}{
		{"the first", func(*stateFile) error { return nil }, false},
		{"pulled later", func(s *stateFile) error { s.Pulled = at.Add(time.Second); return nil }, true},
		{"wanted", func(s *stateFile) error { s.Wanted = at.Add(2 * time.Second); return nil }, true},
		{"in another time zone", func(s *stateFile) error { s.Pulled = at.Add(time.Hour).In(time.FixedZone("", 7200)); return nil }, true},
		{"the clock goes back", func(s *stateFile) error { s.Pulled, s.Wanted = at.Add(-time.Hour), at.Add(-time.Hour); return nil }, true},
		{"never pulled nor wanted", func(s *stateFile) error { s.Pulled, s.Wanted = time.Time{}, time.Time{}; return nil }, true},
		{"a far future", func(s *stateFile) error {
			s.Pulled = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))
			return nil
		}, false},
		{"back from there", func(s *stateFile) error { s.Pulled = at; return nil }, false},
		{"failed", func(s *stateFile) error { s.Outcome, s.LastError = Failed, "x"; return nil }, false},
		{"failed later", func(s *stateFile) error { s.Pulled = at.Add(time.Minute); return nil }, true},
		{"somebody has edited it", func(s *stateFile) error {
			text, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, bytes.Replace(text, []byte("https://h/x"), []byte("https://h/y"), 1), 0o600),
				os.Chtimes(path, time.Time{}, at))
		}, false},
		{"somebody has removed it", func(s *stateFile) error { return os.Remove(path) }, false},
		{"a backup shares it", func(s *stateFile) error { s.Pulled = at.Add(time.Hour); return os.Link(path, path+".backup") }, false},
	} {
		var before os.FileInfo
		if err := c.change(&state); err != nil {
			t.Fatal(err)
		}
		if file.rest != nil {
			before, _ = os.Stat(path) // it may be removed
		}
		if err := file.write(dir, state); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if inPlace := before != nil && os.SameFile(before, inode(t, path)); inPlace != c.inPlace {
			t.Errorf("%s: in place: %v", c.what, inPlace)
		}
		got, err := readState(dir)
		if err != nil || !got.Pulled.Equal(state.Pulled) || !got.Wanted.Equal(state.Wanted) || !got.equalsBesideDates(state) {
			t.Errorf("%s: wrote %+v, read %+v, %v", c.what, state, got, err)
		}
		if info := inode(t, path); info.Mode() != 0o600 {
			t.Errorf("%s: the mode is %s", c.what, info.Mode())
		}
	}
}

// TestTornDates: whatever part of an overwrite a loss of power leaves, the file can be read, and has
// the dates of the overwrite or those that were written with the whole file.
func TestTornDates(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, storage.StateFile)
	at := time.Date(2026, 11, 28, 9, 59, 59, 999999999, time.UTC)
	first := stateFile{Outcome: Success, Pulled: at, Wanted: at}
	second, third := first, first
	second.Pulled, second.Wanted = at.Add(time.Hour), at.Add(time.Hour)
	third.Pulled, third.Wanted = at.Add(1111*time.Hour+time.Second), at.Add(2222*time.Hour+1)
	var file stateOnDisk
	var texts [][]byte
	for _, state := range []stateFile{first, second, third} {
		if err := file.write(dir, state); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	old, next := texts[1], texts[2]
	for cut := range old {
		for _, mixture := range [][]byte{
			append(bytes.Clone(old[:cut]), next[cut:]...),
			append(bytes.Clone(next[:cut]), old[cut:]...),
		} {
			want := first
			if bytes.Equal(mixture, old) {
				want = second
			} else if bytes.Equal(mixture, next) {
				want = third
			}
			if err := os.WriteFile(path, mixture, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readState(dir)
			if err != nil || !got.Pulled.Equal(want.Pulled) || !got.Wanted.Equal(want.Wanted) {
				t.Fatalf("of %q is read %s and %s, %v", mixture, got.Pulled, got.Wanted, err)
			}
		}
	}
}

// TestDatesOfAnotherState: dates are not taken for those of a state that somebody has edited.
func TestDatesOfAnotherState(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, storage.StateFile)
	at := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	var file stateOnDisk
	for _, pulled := range []time.Time{at, at.Add(time.Hour)} {
		if err := file.write(dir, stateFile{Outcome: Success, Pulled: pulled}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Replace(text, []byte("success"), []byte("failed"), 1), 0o600)
	}
	if got, readErr := readState(dir); err != nil || readErr != nil || got.Outcome != Failed || !got.Pulled.Equal(at) {
		t.Errorf("%+v, %v, %v", got, err, readErr)
	}
}

// TestDatesLieInOneSector, whatever is in front of them, and a program that does not know them reads
// the rest.
func TestDatesLieInOneSector(t *testing.T) {
	for n := range 2 * sector {
		state := stateFile{Origin: "https://h/" + strings.Repeat("x", n), Outcome: Success}
		rest, latest, err := state.encode()
		if err != nil {
			t.Fatal(err)
		}
		if begin := len(rest); len(latest) != latestSize || begin/sector != (begin+latestSize-1)/sector {
			t.Fatalf("with %d bytes before them they are in two, or not there", begin)
		}
		var plain struct{ Origin string }
		if err := json.Unmarshal(append(rest, latest...), &plain); err != nil || plain.Origin != state.Origin {
			t.Fatalf("%q: %v", rest, err)
		}
	}
}
