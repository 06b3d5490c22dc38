package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzTombstone reads arbitrary files, and checks the paths of arbitrary names.
func FuzzTombstone(f *testing.F) {
	for _, s := range [][3]string{
		{`{"name":"a/b","date":"2026-01-02T03:04:05Z","origin":"https://h/x"}`, "a/b", "a%2Fb"}, {`{"name":"../x"}`, strings.Repeat("x/", 300) + "x", strings.Repeat("x/", 300) + "y"},
		{`null`, "a~b", "a+b"}, {``, "m", "M"}, {`{"date":"9999-99-99"}`, strings.Repeat("~", 150), strings.Repeat("~", 151)}, {"\x00", "a", "a@"},
	} {
		f.Add([]byte(s[0]), s[1], s[2])
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte, one, two string) {
		a, errA := ParseName(one)
		b, errB := ParseName(two)
		if errA == nil {
			file := escapeName(a)
			if filepath.Base(file) != file || len(file) > 255-len("9223372036854775807.999-") || strings.HasPrefix(file, ".") {
				t.Errorf("%q has the tombstone %q", a, file)
			}
			if at, ok := discardedAt(fmt.Sprintf("%d.1-%s", 1_800_000_000, file)); !ok || at.Unix() != 1_800_000_000 {
				t.Errorf("%q in the trash is not found", file)
			}
			if back, ok := unescapeName(file); !ok || !strings.HasPrefix(a.String(), back.String()) || len(file) < maxComponent-40 && back != a {
				t.Errorf("%q in the trash is taken for %q", a, back)
			}
			if errB == nil && a != b && escapeName(b) == file {
				t.Errorf("%q and %q have one tombstone", a, b)
			}
		}
		dir, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s := &Dir{Path: dir}
		for _, sub := range []string{"tombstones", "trash"} {
			if err := os.MkdirAll(s.Own(sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if s.root, s.own, err = s.identify(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Own("tombstones"), "x"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if errA == nil { // a file that cannot be read does not affect the others
			if err := s.WriteTombstone(a, Tombstone{Name: a.String(), At: time.Unix(1, 0)}); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.Expire(time.Unix(1_800_000_000, 0), time.Hour)
		if errA == nil {
			if _, err := s.Tombstone(a); err == nil && a.String() != "x" {
				t.Errorf("the tombstone of %q stands for ever", a)
			}
		}
	})
}
