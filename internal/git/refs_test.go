package git

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// mixed is a repository with refs in all places and forms that git uses.
func mixed(t *testing.T) *origin.Repo {
	t.Helper()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	id := r.Commit("main", map[string]string{"a": "1"})
	r.Git("tag", "-a", "-m", "m", "v1", id)
	r.Git("tag", "-a", "-m", "m", "v2", "v1")
	r.Git("update-ref", "refs/sould/kept", id)
	r.Git("pack-refs", "--all")
	next := r.Commit("main", map[string]string{"a": "2"}) // loose, over a packed one
	r.Git("update-ref", "refs/heads/dir/sub/x", next)
	r.Git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
	r.Git("tag", "-a", "-m", "m", "loose", next)
	r.Git("tag", "blob", next+":a")
	return r
}

func TestRefsAreReadAsGitReadsThem(t *testing.T) {
	r := mixed(t)
	repo := New(Options{}).Repo(r.Dir)
	var want Listing
	check := func(what string) {
		t.Helper()
		got, err := repo.Refs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want.Refs == nil {
			want = got
		}
		if !slices.Equal(got.Refs, want.Refs) || got.Head != want.Head {
			t.Errorf("%s: the refs are\n%+v\nthey were\n%+v", what, got, want)
		}
		var lines []string
		for _, ref := range got.Refs {
			lines = append(lines, ref.ID+" "+ref.Name)
			if ref.Peeled != ref.ID {
				lines = append(lines, ref.Peeled+" "+ref.Name+"^{}")
			}
		}
		if git := r.Git("show-ref", "--dereference"); git != strings.Join(lines, "\n") {
			t.Errorf("%s: git says\n%s\nwe say\n%s", what, git, strings.Join(lines, "\n"))
		}
	}
	check("as git has written them")
	if settled, err := repo.PackRefs(t.Context()); err != nil || !slices.Equal(settled.Refs, want.Refs) {
		t.Fatalf("%+v, %v", settled, err)
	}
	check("settled")
	if loose, err := repo.looseRefs(); err != nil || len(loose) != 0 {
		t.Errorf("%q are loose, %v", loose, err)
	}
	if entries, err := os.ReadDir(filepath.Join(r.Dir, "refs", "heads")); err != nil || len(entries) != 0 {
		t.Errorf("directories are left: %v, %v", entries, err)
	}
	ours, err := os.ReadFile(filepath.Join(r.Dir, "packed-refs"))
	if err != nil {
		t.Fatal(err)
	}
	r.Git("pack-refs", "--all") // git writes the same
	if theirs, err := os.ReadFile(filepath.Join(r.Dir, "packed-refs")); err != nil || string(theirs) != string(ours) {
		t.Errorf("git writes\n%swe write\n%s%v", theirs, ours, err)
	}
	check("written by git")

	// A file of an older git tells less.
	old := strings.Replace(string(ours), packedHeader, "# pack-refs with: peeled ", 1)
	if err := os.WriteFile(filepath.Join(r.Dir, "packed-refs"), []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	check("of an older git")
	if _, err := repo.PackRefs(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenRefs(t *testing.T) {
	r := mixed(t)
	repo := New(Options{}).Repo(r.Dir)
	// As after a power failure.
	for name, text := range map[string]string{"refs/heads/main": "", "refs/heads/zero": "", "refs/heads/junk": "junk\n", "refs/heads/x.lock": "x"} {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := repo.PackRefs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	main, ok := l.Find("refs/heads/main")
	if v1, _ := l.Find("refs/tags/v1"); !ok || main.ID != v1.Peeled {
		t.Errorf("a broken ref has not got its packed value: %+v", main)
	}
	for _, name := range []string{"refs/heads/zero", "refs/heads/junk"} {
		if _, ok := l.Find(name); ok {
			t.Errorf("%s is a ref", name)
		}
	}
	if err := repo.Sweep(); err != nil {
		t.Fatal(err)
	}
	if out := r.Git("fsck", "--strict"); strings.Contains(out, "error") {
		t.Error(out)
	}
}

func TestWriteRefs(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	id := r.Commit("a", nil)
	repo := New(Options{}).Repo(r.Dir)
	if _, err := repo.PackRefs(t.Context()); err != nil {
		t.Fatal(err)
	}
	stamp := repo.Stamp()
	// A file that becomes a directory, and names that look like options.
	var refs []Ref
	for _, name := range []string{"refs/heads/--output=x", "refs/heads/-x", "refs/heads/HEAD", "refs/heads/a/b", "refs/tags/ü"} {
		refs = append(refs, Ref{name, id, id})
	}
	if err := errors.Join(repo.WriteRefs(refs), repo.WriteHead(Head{Ref: "refs/heads/a/b"})); err != nil {
		t.Fatal(err)
	}
	if repo.Stamp() == stamp {
		t.Error("the stamp is the same")
	}
	l, err := repo.Refs(t.Context())
	if err != nil || !slices.Equal(l.Refs, refs) || l.Head != (Head{"refs/heads/a/b", id}) {
		t.Errorf("%+v, %v", l, err)
	}
	if got := r.Git("for-each-ref", "--format=%(refname)"); strings.Count(got, "\n") != 4 || r.Git("rev-parse", "HEAD") != id {
		t.Errorf("git sees %q", got)
	}
	if err := repo.WriteHead(Head{ID: id}); err != nil {
		t.Fatal(err)
	}
	if l, err := repo.Refs(t.Context()); err != nil || l.Head != (Head{ID: id}) || r.Git("rev-parse", "HEAD") != id {
		t.Errorf("a detached HEAD: %+v, %v", l.Head, err)
	}
	// Another program is writing.
	if err := os.WriteFile(filepath.Join(r.Dir, "packed-refs.lock"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := repo.WriteRefs(nil); err == nil {
		t.Error("written in spite of the lock")
	}
	if err := repo.Sweep(); err != nil {
		t.Fatal(err)
	}
	if err := repo.WriteRefs(nil); err != nil || r.Git("for-each-ref") != "" {
		t.Errorf("%v, %q", err, r.Git("for-each-ref"))
	}
}
