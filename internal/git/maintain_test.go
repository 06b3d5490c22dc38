package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// packed makes a repository with so many packs of one commit each, of which the last
// is on no branch, and returns it and that commit.
func packed(t *testing.T, packs int) (Repo, *origin.Repo, string) {
	t.Helper()
	from := origin.New(t, filepath.Join(t.TempDir(), "from"))
	r := origin.New(t, filepath.Join(t.TempDir(), "r"))
	repo := New(Options{AllowLocal: true}).Repo(r.Dir)
	id := ""
	for i := range packs {
		id = from.Commit("main", map[string]string{fmt.Sprint("f", i): strings.Repeat(fmt.Sprintln(i), 50)})
		if err := repo.Fetch(t.Context(), Remote{URL: from.Dir}, []string{id}, nil); err != nil {
			t.Fatal(err)
		}
		if i < packs-1 {
			r.Git("update-ref", "refs/heads/main", id)
		}
	}
	return repo, r, id
}

func has(repo Repo, id string) bool {
	cmd := exec.Command("git", "--git-dir="+repo.Dir, "cat-file", "-e", id)
	return cmd.Run() == nil
}

func TestRepack(t *testing.T) {
	t.Parallel()
	const packs = 6
	for _, c := range []struct {
		how           Repack
		aged          bool
		max           int // packs left
		lost          bool
		bitmap, graph bool
	}{
		{how: RepackQuick, max: 4},
		{how: RepackRolling, aged: true, max: 4, bitmap: true, graph: true},
		{how: RepackFull, max: 1, bitmap: true, graph: true},
		{how: RepackFull, aged: true, max: 1, lost: true, bitmap: true, graph: true},
	} {
		repo, r, stray := packed(t, packs)
		before, err := repo.Packs()
		if err != nil || before.Count != packs || before.Size == 0 || before.Loose != 0 {
			t.Fatalf("%+v, %v", before, err)
		}
		if c.aged {
			old := time.Now().Add(-15 * 24 * time.Hour)
			found, _ := filepath.Glob(filepath.Join(repo.Dir, "objects", "pack", "*"))
			for _, path := range found {
				if err := os.Chtimes(path, old, old); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 2 { // there is nothing to do the second time
			if err := repo.Repack(t.Context(), c.how); err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
		}
		after, err := repo.Packs()
		if err != nil || after.Count > c.max || after.Count == 0 {
			t.Errorf("%+v: %+v, %v", c, after, err)
		}
		if !has(repo, r.Git("rev-parse", "main")) || has(repo, stray) == c.lost {
			t.Errorf("%+v: the stray commit is there: %v", c, has(repo, stray))
		}
		bitmaps, _ := filepath.Glob(filepath.Join(repo.Dir, "objects", "pack", "*.bitmap"))
		_, err = os.Stat(filepath.Join(repo.Dir, "objects", "info", "commit-graphs", "commit-graph-chain"))
		if len(bitmaps) > 0 != c.bitmap || err == nil != c.graph {
			t.Errorf("%+v: bitmaps %q, graph %v", c, bitmaps, err)
		}
		if err := whole(t, repo); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestRepackOfNothing(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r"))
	repo := New(Options{}).Repo(r.Dir)
	for _, how := range []Repack{RepackQuick, RepackRolling, RepackFull} {
		if err := repo.Repack(t.Context(), how); err != nil {
			t.Error(err)
		}
	}
	if err := whole(t, repo); err != nil {
		t.Error(err)
	}
}

// TestRepackCommands runs what an older git would be asked for.
func TestRepackCommands(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2.31.0", "2.35.1", "3.0.rc1"} {
		repo, r, _ := packed(t, 3)
		for _, how := range []Repack{RepackQuick, RepackRolling, RepackFull} {
			for _, c := range repackCommands(how, version) {
				c.dir = repo.Dir
				if err := repo.git.run(t.Context(), c); err != nil {
					t.Errorf("%s: git %s %q: %v", version, c.name, c.args, err)
				}
				if strings.HasPrefix(version, "2.31") && strings.Contains(strings.Join(c.args, " "), "geometric") {
					t.Errorf("%s: %q", version, c.args)
				}
			}
		}
		if p, err := repo.Packs(); err != nil || p.Count != 1 || !has(repo, r.Git("rev-parse", "main")) {
			t.Errorf("%s: %+v, %v", version, p, err)
		}
	}
}

// TestRepackInterrupted breaks it off at many moments.
func TestRepackInterrupted(t *testing.T) {
	t.Parallel()
	repo, _, _ := packed(t, 4)
	for i := range 9 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*3*time.Millisecond)
		err := repo.Repack(ctx, []Repack{RepackFull, RepackRolling, RepackQuick}[i%3])
		cancel()
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		if err := repo.Sweep(); err != nil {
			t.Fatal(err)
		}
		_ = filepath.WalkDir(filepath.Join(repo.Dir, "objects"), func(path string, _ os.DirEntry, _ error) error {
			name := filepath.Base(path)
			if strings.Contains(name, "tmp") || strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, "bitmap-ref") {
				t.Errorf("left behind: %s", path)
			}
			return nil
		})
		if err := whole(t, repo); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckFindsDamage(t *testing.T) {
	t.Parallel()
	repo, r, _ := packed(t, 2)
	blob := r.Git("rev-parse", "main:f0")
	packs, _ := filepath.Glob(filepath.Join(repo.Dir, "objects", "pack", "*.pack"))
	text, err := os.ReadFile(packs[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 0x40
	if err := os.Chmod(packs[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(packs[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := whole(t, repo); err == nil {
		t.Errorf("a flipped bit near %s is not noticed", blob)
	}
}

// whole checks a repository.
func whole(t *testing.T, repo Repo) error {
	t.Helper()
	damage, err := repo.Check(t.Context())
	return errors.Join(damage, err)
}
