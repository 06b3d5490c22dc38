package git

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// TestFetchLimit: a fetch that brings more than its limit is ended, as a clone or not, and leaves nothing
// behind once it is swept.
func TestFetchLimit(t *testing.T) {
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"a": noise(300 << 10)})
	id := strings.TrimSpace(r.Git("rev-parse", "main"))
	g := New(Options{AllowLocal: true})
	for _, url := range []string{root + "/r.git", origin.ServeHTTP(t, root).URL + "/r.git"} {
		for _, mode := range []FetchMode{{}, {Clone: true}} {
			repo := g.Repo(filepath.Join(t.TempDir(), "mirror"))
			if err := repo.Init(t.Context(), 40, ""); err != nil {
				t.Fatal(err)
			}
			mode.Limit = 100 << 10
			if _, err := repo.Fetch(t.Context(), Remote{URL: url}, []string{id}, mode, nil); !errors.Is(err, ErrTooLarge) || IsLocalFault(err) {
				t.Errorf("%s, %+v: %v", url, mode, err)
			}
			if err := repo.Sweep(); err != nil {
				t.Fatal(err)
			}
			if left, _ := filepath.Glob(filepath.Join(repo.Dir, "objects", "pack", "*")); len(left) > 0 {
				t.Errorf("%s, %+v: %v is left", url, mode, left)
			}
			mode.Limit = 10 << 20
			if _, err := repo.Fetch(t.Context(), Remote{URL: url}, []string{id}, mode, nil); err != nil {
				t.Errorf("%s, %+v: %v", url, mode, err)
			}
		}
	}
}

// noise is a text that cannot be compressed much.
func noise(size int) string {
	b, x := make([]byte, size), uint32(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = 'a' + byte(x%26)
	}
	return string(b)
}
