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

// packed makes a repository with so many packs of one commit each. The last commit, which it
// returns too, is on no branch.
func packed(t *testing.T, packs int) (Repo, *origin.Repo, string) {
	t.Helper()
	from := origin.New(t, filepath.Join(t.TempDir(), "from"))
	r := origin.New(t, filepath.Join(t.TempDir(), "r"))
	repo := New(Options{AllowLocal: true}).Repo(r.Dir)
	id := ""
	for i := range packs {
		id = from.Commit("main", map[string]string{fmt.Sprint("f", i): strings.Repeat(fmt.Sprintln(i), 50)})
		if _, err := repo.Fetch(t.Context(), Remote{URL: from.Dir}, []string{id}, FetchMode{}, nil); err != nil {
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

const day = 24 * time.Hour

// makeOlder makes all objects of a repository older.
func makeOlder(t *testing.T, repo Repo, age time.Duration) {
	t.Helper()
	then := time.Now().Add(-age)
	err := filepath.WalkDir(filepath.Join(repo.Dir, "objects"), func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			err = os.Chtimes(path, then, then)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// addRetained adds a commit that only a ref of sould's own leads to, and returns it.
func addRetained(r *origin.Repo) string {
	id := r.Commit("gone", map[string]string{"kept": "x"})
	r.Git("update-ref", "refs/sould/kept/1/heads/gone", id)
	r.Git("update-ref", "-d", "refs/heads/gone")
	return id
}

func TestRepack(t *testing.T) {
	t.Parallel()
	const packs = 6
	for _, c := range []struct {
		how           Repack
		age           time.Duration
		max           int // packs left
		lost          bool
		bitmap, graph bool
	}{
		{how: RepackIncremental, max: 4},
		{how: RepackGeometric, age: 15 * day, max: 4, bitmap: true, graph: true},
		{how: RepackFull, max: 1, bitmap: true, graph: true},
		{how: RepackFull, age: 13 * day, max: 1, bitmap: true, graph: true},
		{how: RepackFull, age: 15 * day, max: 1, lost: true, bitmap: true, graph: true},
	} {
		repo, r, stray := packed(t, packs)
		before, err := repo.Packs()
		if err != nil || before.Count != packs || before.Size == 0 || before.Loose != 0 {
			t.Fatalf("%+v, %v", before, err)
		}
		kept := addRetained(r)
		makeOlder(t, repo, c.age)
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
		if !has(repo, kept) {
			t.Errorf("%+v: a kept commit is lost", c)
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
	for _, how := range []Repack{RepackIncremental, RepackGeometric, RepackFull} {
		if err := repo.Repack(t.Context(), how); err != nil {
			t.Error(err)
		}
	}
	if err := whole(t, repo); err != nil {
		t.Error(err)
	}
}

// TestRepackCommands runs the commands for older versions of git.
func TestRepackCommands(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2.31.0", "2.35.1", "3.0.rc1"} {
		repo, r, _ := packed(t, 3)
		for _, how := range []Repack{RepackIncremental, RepackGeometric, RepackFull} {
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

// TestUnreachableObjectsStayForTwoWeeks, in packs and as files, with each version of git.
func TestUnreachableObjectsStayForTwoWeeks(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2.31.0", "2.37.0"} {
		for _, age := range []time.Duration{0, 13 * day, 15 * day} {
			repo, r, stray := packed(t, 3)
			kept, file := addRetained(r), r.GitIn("on no branch either", "hash-object", "-w", "--stdin")
			makeOlder(t, repo, age)
			for _, c := range repackCommands(RepackFull, version) {
				c.dir = repo.Dir
				if err := repo.git.run(t.Context(), c); err != nil {
					t.Fatalf("%s: git %s %q: %v", version, c.name, c.args, err)
				}
			}
			stays := age < 14*day
			if has(repo, stray) != stays || has(repo, file) != stays {
				t.Errorf("%s, after %s: unreachable object of a pack is there: %v; loose one: %v", version, age, has(repo, stray), has(repo, file))
			}
			if !has(repo, kept) {
				t.Errorf("%s, after %s: a retained commit is lost", version, age)
			}
		}
	}
}

// TestRepackInterrupted interrupts a repack at many moments.
func TestRepackInterrupted(t *testing.T) {
	t.Parallel()
	repo, _, _ := packed(t, 4)
	began := time.Now()
	if err := repo.Repack(t.Context(), RepackFull); err != nil {
		t.Fatal(err)
	}
	took, interrupted := time.Since(began), 0
	for i := 0; i < 9 || interrupted == 0 && i < 20; i++ {
		within := time.Duration(i) * took / 10
		if i >= 9 { // the machine was busy at the first, and is not any more
			within = took >> (i - 5)
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		err := repo.Repack(ctx, []Repack{RepackFull, RepackGeometric, RepackIncremental}[i%3])
		cancel()
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		if err != nil && strings.HasPrefix(err.Error(), "git repack: ") {
			interrupted++
		}
		if err := repo.Sweep(); err != nil {
			t.Fatal(err)
		}
		_ = filepath.WalkDir(filepath.Join(repo.Dir, "objects"), func(path string, _ os.DirEntry, _ error) error {
			name := filepath.Base(path)
			if strings.Contains(name, "tmp") || strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, "bitmap-ref") {
				t.Errorf("left behind: %s", path)
			}
			if pack, ok := strings.CutSuffix(path, ".pack"); ok && !exists(pack+".idx") {
				t.Errorf("a pack without an index: %s", path)
			}
			return nil
		})
		if err := whole(t, repo); err != nil {
			t.Fatal(err)
		}
	}
	if interrupted == 0 {
		t.Errorf("no repack was interrupted; one takes %s", took)
	}
}

// TestHalfRemovedPack: a repack that was killed while it removed old packs does not stop later
// ones.
func TestHalfRemovedPack(t *testing.T) {
	t.Parallel()
	repo, _, _ := packed(t, 3)
	all, err := repo.indexedPacks()
	if err != nil {
		t.Fatal(err)
	}
	var half string
	for pack := range all {
		half = pack
	}
	for from, to := range map[string]string{".pack": "/pack-1111.pack", ".rev": "/pack-1111.rev"} {
		text, err := os.ReadFile(half + from)
		if err == nil {
			err = os.WriteFile(filepath.Dir(half)+to, text, 0o444)
		}
		if err != nil && from == ".pack" {
			t.Fatal(err)
		}
	}
	if err := repo.Repack(t.Context(), RepackFull); err == nil {
		t.Log("this git does not fail")
	}
	left := filepath.Join(filepath.Dir(half), "pack-1111.pack")
	if err := repo.Sweep(); err != nil || !exists(left) {
		t.Errorf("removed, although somebody may be copying it in: %v", err)
	}
	if err := repo.sweepPacks(time.Now().Add(2 * strandedAge)); err != nil || exists(left) {
		t.Errorf("an old leftover was not removed: %v", err)
	}
	if err := repo.Repack(t.Context(), RepackFull); err != nil {
		t.Error(err)
	}
	if err := whole(t, repo); err != nil {
		t.Error(err)
	}
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

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
	damage, _, err := repo.Check(t.Context())
	if damage == nil || err != nil {
		t.Errorf("with a flipped bit near %s, Check returns damage %v, error %v", blob, damage, err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if damage, _, err := repo.Check(over); damage != nil || err == nil {
		t.Errorf("a check that did not run returns damage %v, error %v", damage, err)
	}
}

// whole checks a repository.
func whole(t *testing.T, repo Repo) error {
	t.Helper()
	damage, _, err := repo.Check(t.Context())
	return errors.Join(damage, err)
}

// TestBackgroundWorkIsNice: work that nobody waits for has a low priority.
func TestBackgroundWorkIsNice(t *testing.T) {
	repo, _, _ := packed(t, 3)
	// This git records its priority after the real one has ended, because that may have begun
	// before the priority was lowered.
	dir := t.TempDir()
	notes, expectNice := filepath.Join(dir, "notes"), filepath.Join(dir, "expectNice")
	script := fmt.Sprintf(`#!/bin/sh
PATH=${PATH#*:}
git "$@" || exit
shift # --git-dir
[ "$1" != version ] || exit 0
for i in $(seq 200); do
	[ -e %s ] && [ "$(nice)" != %d ] || break
	sleep 0.05
done
echo "$1 $(nice)" >>%s
`, expectNice, niceness, notes)
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	usual, err := exec.Command("nice").Output()
	if err != nil {
		t.Skip(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	repo = New(Options{AllowLocal: true}).Repo(repo.Dir)
	ran := func(work func() error) string {
		t.Helper()
		if err := work(); err != nil {
			t.Fatal(err)
		}
		said, err := os.ReadFile(notes)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(notes); err != nil {
			t.Fatal(err)
		}
		// A command that a repack runs before has its own priority.
		return strings.ReplaceAll(string(said), "rev-parse "+string(usual), "")
	}
	repack := func(how Repack) func() error { return func() error { return repo.Repack(t.Context(), how) } }
	if got, want := ran(repack(RepackIncremental)), "repack "+string(usual); got != want {
		t.Errorf("a repack that others wait for runs as\n%s, want\n%s", got, want)
	}
	if err := os.WriteFile(expectNice, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for want, work := range map[string]func() error{
		"repack 10\ncommit-graph 10\n":           repack(RepackGeometric),
		"repack 10\nprune 10\ncommit-graph 10\n": repack(RepackFull),
		"fsck 10\n":                              func() error { return whole(t, repo) },
	} {
		if got := ran(work); got != want {
			t.Errorf("runs as\n%s, want\n%s", got, want)
		}
	}
}
