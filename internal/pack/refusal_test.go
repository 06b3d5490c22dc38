package pack

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/pktline"
)

// notOurs is what git upload-pack says and ends with if it lacks an object.
func notOurs(id string) (said string, err error) {
	return string(pktline.Append(nil, "ERR upload-pack: not our ref ", id)), &git.Error{Command: "upload-pack", Stderr: "fatal: git upload-pack: not our ref " + id, ExitCode: 128}
}

// TestEnsured: what a pull brings is looked for again, each object once, and the client sees
// nothing of that.
func TestEnsured(t *testing.T) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	broken := errors.New("broken")
	for what, c := range map[string]struct {
		lacks  []string // at each call; empty for an answer
		brings bool     // a pull is made
		begins string   // said before the failure
		want   string
		calls  int
		fails  bool
	}{
		"nothing is missing":       {[]string{""}, true, "", "0008pack", 1, false},
		"a pull brings it":         {[]string{a, ""}, true, "", "0008pack", 2, false},
		"one after the other":      {[]string{a, b, ""}, true, "", "0008pack", 3, false},
		"a pull does not bring it": {[]string{a, a, ""}, true, "", "not our ref " + a, 2, true},
		"it was tried before":      {[]string{a, ""}, false, "", "not our ref " + a, 1, true},
		"too late":                 {[]string{a, ""}, true, "0008NAK\n", "0008NAK\n", 1, true},
	} {
		var out bytes.Buffer
		calls := 0
		err := ensured(&out, func(w io.Writer) error {
			lacks := c.lacks[calls]
			calls++
			said, err := "0008pack", error(nil)
			if lacks != "" {
				said, err = notOurs(lacks)
			}
			for _, part := range []string{c.begins, said[:3], said[3:]} { // as a pipe may give it
				if _, writeErr := io.WriteString(w, part); writeErr != nil {
					return writeErr
				}
			}
			return err
		}, func(string) bool { return c.brings })
		if calls != c.calls || (err != nil) != c.fails || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %q after %d calls, %v", what, out.String(), calls, err)
		}
		if c.fails && git.UnknownObject(err) == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := ensured(brokenWriter{broken}, func(w io.Writer) error {
		_, err := io.WriteString(w, "0008NAK\n")
		return err
	}, nil); !errors.Is(err, broken) {
		t.Errorf("a client that has gone: %v", err)
	}
}

type brokenWriter struct{ err error }

func (b brokenWriter) Write([]byte) (int, error) { return 0, b.err }
