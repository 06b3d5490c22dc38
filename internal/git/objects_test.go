package git

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

func TestCommitAndAncestors(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	first := r.Commit("main", map[string]string{"a": "1"})
	second := r.Commit("main", map[string]string{"a": "2"})
	other := r.Commit("other", nil)
	r.Git("tag", "-a", "-m", "m", "t", second)
	tag, blob := r.Git("rev-parse", "t"), r.Git("rev-parse", first+":a")
	missing := strings.Repeat("1", 40)
	repo := New(Options{}).Repo(r.Dir)
	for id, want := range map[string]string{second: second, tag: second, blob: "", missing: ""} {
		got, err := repo.Commit(t.Context(), id)
		if got != want || errors.Is(err, ErrNotFound) != (want == "") {
			t.Errorf("Commit(%s) = %s, %v; want %q", id, got, err, want)
		}
	}
	for _, c := range []struct {
		commit, descendant string
		want               bool
	}{{first, second, true}, {second, first, false}, {first, first, true}, {other, second, false}} {
		if got, err := repo.IsAncestor(t.Context(), c.commit, c.descendant); got != c.want || err != nil {
			t.Errorf("IsAncestor(%s, %s) = %v, %v", c.commit, c.descendant, got, err)
		}
	}
	for _, ids := range [][2]string{
		{missing, second}, {second, missing}, {blob, second}, {second, blob},
		{missing + strings.Repeat("1", 24), second}, {first[:12], second},
	} {
		if got, err := repo.IsAncestor(t.Context(), ids[0], ids[1]); got || !errors.Is(err, ErrNotFound) {
			t.Errorf("IsAncestor(%s, %s) = %v, %v; want ErrNotFound", ids[0], ids[1], got, err)
		}
	}
	if got, err := repo.IsAncestor(t.Context(), first, tag); !got || err != nil {
		t.Errorf("an ancestor of a tag: %v, %v", got, err)
	}
	nowhere := New(Options{}).Repo(t.TempDir())
	if _, err := nowhere.IsAncestor(t.Context(), first, second); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("in no repository: %v", err)
	}
}

// TestIsAncestorStartsOneProcess for each of the usual answers.
func TestIsAncestorStartsOneProcess(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	first := r.Commit("main", map[string]string{"a": "1"})
	second := r.Commit("main", map[string]string{"a": "2"})
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho \"$2\" >>%s/calls\nexec %s \"$@\"\n", dir, real)
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	repo := New(Options{}).Repo(r.Dir)
	for _, commit := range []string{first, second, strings.Repeat("1", 40)} {
		_, err := repo.IsAncestor(t.Context(), commit, first)
		calls, readErr := os.ReadFile(filepath.Join(dir, "calls"))
		if readErr != nil || string(calls) != "merge-base\n" {
			t.Errorf("%s: %v; git was called for %q, %v", commit, err, calls, readErr)
		}
		if err := os.Remove(filepath.Join(dir, "calls")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLookUp looks up objects of all types, with both lengths of ids.
func TestLookUp(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		r := origin.New(t, filepath.Join(t.TempDir(), "r.git"), "--object-format="+format)
		commit := r.Commit("main", map[string]string{"a": "1"})
		r.Git("tag", "-a", "-m", "m", "t", commit)
		tag, tree, blob := r.Git("rev-parse", "t"), r.Git("rev-parse", "main^{tree}"), r.Git("rev-parse", "main:a")
		missing := strings.Repeat("1", len(commit))
		repo := New(Options{}).Repo(r.Dir)
		got, err := repo.lookUp(t.Context(), []string{blob, missing, commit, tag, tag + "^{}", tree, missing + "^{}", blob + "^{commit}"})
		want := []object{{"blob", blob}, {}, {"commit", commit}, {"tag", tag}, {"commit", commit}, {"tree", tree}, {}, {}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", format, got, err, want)
		}
		commits, err := repo.commits(t.Context(), tag, tree, commit, missing, commit[:40])
		ofPrefix := map[string]string{"sha1": commit}[format] // 40 digits are an abbreviation in sha256
		if err != nil || !slices.Equal(commits, []string{commit, "", commit, "", ofPrefix}) {
			t.Errorf("%s: commits %q, %v", format, commits, err)
		}
		others, err := repo.NotCommits(t.Context(), []string{tag, tree, commit, missing})
		if err != nil || !others[tag] || !others[tree] || others[commit] || others[missing] {
			t.Errorf("%s: no commits: %v, %v", format, others, err)
		}
	}
}
