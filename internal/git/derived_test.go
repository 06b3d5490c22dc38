package git

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// TestDropBroken breaks each kind of derived file, in repositories with both lengths of ids.
func TestDropBroken(t *testing.T) {
	t.Parallel()
	from := origin.New(t, filepath.Join(t.TempDir(), "from"))
	for i := range 3 {
		from.Commit("main", map[string]string{"f": strings.Repeat("x\n", 100*i)})
	}
	for _, format := range []string{"sha1", "sha256"} {
		dir := filepath.Join(t.TempDir(), "r")
		repo := New(Options{AllowLocal: true}).Repo(dir)
		if err := repo.Init(t.Context(), map[string]int{"sha1": 40, "sha256": 64}[format], ""); err != nil {
			t.Fatal(err)
		}
		git := func(stdin string, args ...string) string {
			t.Helper()
			cmd := exec.Command("git", append([]string{"--git-dir=" + dir, "-c", "pack.writeReverseIndex=true"}, args...)...)
			cmd.Stdin = strings.NewReader(stdin)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("git %v: %v\n%s", args, err, out)
			}
			return string(out)
		}
		git(from.Git("fast-export", "--all"), "fast-import", "--quiet")
		git("nobody's", "hash-object", "-w", "--stdin")
		git("", "repack", "-q", "-n", "-d", "--cruft", "--write-midx", "--write-bitmap-index")
		git("", "commit-graph", "write", "--reachable", "--split", "--no-progress")
		if dropped, err := repo.DropBroken(t.Context()); len(dropped) > 0 || err != nil {
			t.Errorf("%s: nothing is broken: %q, %v", format, dropped, err)
		}
		for _, c := range []struct {
			pattern string
			gone    string // what is removed too
		}{
			{pattern: "pack/pack-*.rev"},
			{pattern: "pack/pack-*.mtimes"},
			{pattern: "pack/multi-pack-index-*.bitmap"},
			{pattern: "pack/multi-pack-index", gone: "pack/multi-pack-index-*"},
			{pattern: "info/commit-graphs/*.graph", gone: "info/commit-graphs/*"},
			{pattern: "info/commit-graph"},
		} {
			if c.pattern == "info/commit-graph" { // git has either this file or a chain
				git("", "commit-graph", "write", "--reachable", "--no-progress")
			}
			found, err := filepath.Glob(filepath.Join(dir, "objects", c.pattern))
			if err != nil || len(found) == 0 {
				t.Errorf("%s: no %s: %v", format, c.pattern, err)
				continue
			}
			text, err := os.ReadFile(found[0])
			if err != nil {
				t.Fatal(err)
			}
			text[len(text)/2] ^= 1
			if err := os.Remove(found[0]); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(found[0], text, 0o444); err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(filepath.Join(dir, "objects"), found[0])
			if dropped, err := repo.DropBroken(t.Context()); !slices.Equal(dropped, []string{name}) || err != nil {
				t.Errorf("%s: %s is broken: %q, %v", format, name, dropped, err)
			}
			for _, pattern := range []string{name, c.gone} {
				if left, _ := filepath.Glob(filepath.Join(dir, "objects", pattern)); pattern != "" && len(left) > 0 {
					t.Errorf("%s: %q are there still", format, left)
				}
			}
			if damage, _, err := repo.Check(t.Context()); damage != nil || err != nil {
				t.Errorf("%s, without %s: %v, %v", format, name, damage, err)
			}
		}
	}
}
