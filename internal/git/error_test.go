package git

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

func TestStderrWithoutProgress(t *testing.T) {
	var seen []string
	s := &stderrText{isFetch: true, progress: func(p Progress) { seen = append(seen, p.String()) }}
	for _, piece := range []string{
		"remote: Counting ob", "jects:  50% (1/2)\rremote: Counting objects: 100% (2/2), done.\x1b[K\n",
		"remote: Total 2 (delta 0), reused 0 (delta 0)\n", "remote: welcome  \n\n",
		"From https://h/x\n * branch            1111 -> FETCH_HEAD\n ! [rejected] x -> refs/sould/incoming/x  (why)\n",
		"Receiving objects: 100% (2/2)\rfatal: ends", " here",
	} {
		if _, err := s.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.text(); got != "remote: welcome\nfatal: ends here" {
		t.Errorf("text %q", got)
	}
	if len(seen) != 3 || seen[0] != "counting objects at the remote 50 % (1 of 2)" || seen[2] != "receiving objects 100 % (2 of 2)" {
		t.Errorf("progress %q", seen)
	}
	long := &stderrText{}
	for range 3000 {
		long.Write([]byte("some line of noise\n"))
	}
	long.Write([]byte("the end"))
	if got := long.text(); len(got) > maxStderr+10 || !strings.HasSuffix(got, "the end") {
		t.Errorf("%d bytes kept, ending in %q", len(got), got[len(got)-20:])
	}
}

// TestStderrIsFitToBeShown: people see a remote's words unchanged, except for what would change
// their terminals or show credentials.
func TestStderrIsFitToBeShown(t *testing.T) {
	var seen []string
	s := &stderrText{progress: func(p Progress) { seen = append(seen, p.String()) }, secrets: []string{"s3cr3t"}}
	evil := "\x1b]0;x\a\u009b31m\u202e s3c\x1br3t http://us3r:p4ss@h/ \xff\tend"
	for _, before := range []string{"remote: Counting objects: 1", "remote: "} {
		if _, err := s.Write([]byte(before + evil + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	const shown = "]0;x31m *** http://***@h/ \ufffd end"
	if want := "remote: " + shown; s.text() != want {
		t.Errorf("text %q, want %q", s.text(), want)
	}
	if want := "counting objects at the remote 1"; len(seen) != 1 || seen[0] != want {
		t.Errorf("progress %q, want %q", seen, want)
	}
}

func TestErrorOfASignal(t *testing.T) {
	g := New(Options{})
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	commit := r.Commit("main", map[string]string{"a": strings.Repeat("x", 1<<20)})
	neutral, err := NewNeutral(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no room")
	err = g.Repo(r.Dir).Tar(t.Context(), neutral, Archive{Commit: commit}, failingWriter{full})
	if err != full {
		t.Errorf("an error of the writer became %v", err)
	}
	err = g.Repo(r.Dir).Tar(t.Context(), neutral, Archive{Commit: strings.Repeat("1", 40)}, failingWriter{full})
	var e *Error
	if !errors.As(err, &e) || e.ExitCode != 128 || !strings.Contains(e.Stderr, "fatal:") {
		t.Errorf("a missing commit: %#v", err)
	}
}
