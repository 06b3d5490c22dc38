package mirror

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// FuzzStateFile: a state file that can be read names no option of git as its origin, and stays
// the same when it is written again.
func FuzzStateFile(f *testing.F) {
	for _, s := range []string{
		`{"origin":"https://h/x","user":"u","password":"p","outcome":"success","pulled":"2026-01-02T03:04:05+02:00"}`,
		`{"outcome":"failed","last_error":"x\u0000y","pending":{"head":{"Ref":"refs/heads/main","ID":""},"refs":"00"}}`,
		`{"origin":"ext::x","outcome":1}`, `{"pulled":"9999-12-31T23:59:59Z"}`, ``, `null`, `[]`, `{"origin":"--upload-pack=x"}`, `{"pending":null}{`, "\x00",
	} {
		f.Add([]byte(s))
	}
	dated := stateFile{Origin: "https://h/x", Outcome: Success, Pulled: time.Unix(1_800_000_000, 1)}
	rest, latest, err := dated.encode()
	if err != nil {
		f.Fatal(err)
	}
	dated.Wanted = dated.Pulled
	f.Add(append(bytes.Clone(rest), latest...))
	f.Add(append(bytes.Clone(rest), dated.latest(rest)...))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		dir, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(filepath.Join(dir, storage.StateFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readState(dir)
		if err != nil {
			return
		}
		if o := s.origin(); strings.HasPrefix(o.String(), "-") || strings.Contains(o.String(), "::") && !o.IsLocal() && !strings.Contains(o.String(), "[") {
			t.Errorf("%q names the origin %q", text, o.String())
		}
		if err := s.write(dir); err != nil {
			t.Fatalf("%q cannot be written again: %v", text, err)
		}
		again, err := readState(dir)
		before, _ := json.Marshal(s)
		after, _ := json.Marshal(again)
		if err != nil || string(before) != string(after) {
			t.Errorf("%s became %s, %v", before, after, err)
		}
	})
}
