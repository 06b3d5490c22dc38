package git

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

func TestArchiveDependsOnTheCommitAlone(t *testing.T) {
	neutral, err := NewNeutral(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"a.txt": "$Format:%ar %h$\n", "b.sh": "x\r\n", "dir/c": "c",
		".gitattributes": "a.txt export-subst\n* text=auto eol=crlf\n",
	}
	archive := func(r *origin.Repo, commit string) string {
		var b strings.Builder
		if err := New(Options{}).Repo(r.Dir).Tar(t.Context(), neutral, Archive{Commit: commit}, &b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, format := range []string{"sha1", "sha256"} {
		plain := origin.New(t, filepath.Join(t.TempDir(), "plain.git"), "--object-format="+format)
		odd := origin.New(t, filepath.Join(t.TempDir(), "odd.git"), "--object-format="+format)
		commit := plain.Commit("main", files)
		if odd.Commit("main", files) != commit {
			t.Fatal("the two repositories are to have the same commit")
		}
		odd.Git("config", "tar.umask", "0077")
		odd.Git("config", "core.autocrlf", "true")
		odd.Git("tag", "v1")
		for name, text := range map[string]string{"info/attributes": "dir export-ignore\n* ident\n"} {
			path := filepath.Join(odd.Dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		a, b := archive(plain, commit), archive(odd, commit)
		if a != b {
			t.Errorf("%s: the archives of one commit differ", format)
		}
		if !strings.Contains(a, "$Format:%ar %h$") {
			t.Errorf("%s: export-subst was expanded", format)
		}
	}
}

// TestArchiveWithoutObjects: git's words are of the neutral repository, and the mirror's directory is meant.
func TestArchiveWithoutObjects(t *testing.T) {
	neutral, err := NewNeutral(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	commit := r.Commit("main", map[string]string{"a": "1"})
	objects := filepath.Join(r.Dir, "objects")
	if err := os.Rename(objects, objects+".away"); err != nil {
		t.Fatal(err)
	}
	err = New(Options{}).Repo(r.Dir).Tar(t.Context(), neutral, Archive{Commit: commit}, new(strings.Builder))
	if e := (*Error)(nil); !errors.As(err, &e) || errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "stat "+objects) {
		t.Errorf("the reason is: %v", err)
	}
}

func TestMissingPath(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	commit := r.Commit("main", map[string]string{"a/b/c": "1", "a/d": "2", "a-b": "3", ":!x": "4", "*": "5", "\xff": "6"})
	repo := New(Options{}).Repo(r.Dir)
	for _, c := range []struct {
		paths []string
		want  int
	}{
		{[]string{"a"}, -1}, {[]string{"a/b/c", "a/d"}, -1}, {[]string{"a", "a/b", "a/b/c"}, -1}, {[]string{"a-b", ":!x", "*", "\xff"}, -1},
		{[]string{"none"}, 0}, {[]string{"a", "none"}, 1}, {[]string{"a", "a/none"}, 1}, {[]string{"a-b", "a-b/x"}, 1}, {[]string{"a", "a*"}, 1},
		{[]string{"a", "x", "y"}, 1}, {[]string{"A"}, 0},
	} {
		if got, err := repo.MissingPath(t.Context(), commit, c.paths); got != c.want || err != nil {
			t.Errorf("of %q the path %d is missing, %v; want %d", c.paths, got, err, c.want)
		}
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }
