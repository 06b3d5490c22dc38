package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsAMirror looks for mirrors in a storage with other directories.
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
