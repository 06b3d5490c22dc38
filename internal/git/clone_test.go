package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// TestIsOrdinary tells which refs git clone can write.
func TestIsOrdinary(t *testing.T) {
	for _, c := range []struct {
		what string
		head Head
		refs string
		want bool
	}{
		{"no refs", Head{}, "", true},
		{"branches and tags", Head{Ref: "refs/heads/main"}, "refs/heads/a/b refs/heads/main refs/tags/a refs/tags/main", true},
		{"names that begin with others", Head{Ref: "refs/heads/a"}, "refs/heads/a refs/heads/a-b refs/heads/ab/c", true},
		{"a branch that is not there", Head{Ref: "refs/heads/none"}, "refs/heads/main", true},
		{"a file and a directory", Head{Ref: "refs/heads/a"}, "refs/heads/a refs/heads/a-b refs/heads/a/b", false},
		{"a commit", Head{ID: strings.Repeat("a", 40)}, "refs/heads/main", false},
		{"a long name", Head{Ref: "refs/heads/main"}, "refs/heads/main refs/heads/" + strings.Repeat("x", 256), false},
		{"a long path", Head{Ref: "refs/heads/main"}, "refs/heads/main refs/heads/" + strings.Repeat("x/", 2100) + "x", false},
	} {
		l := Listing{Head: c.head}
		for name := range strings.FieldsSeq(c.refs) {
			l.Refs = append(l.Refs, Ref{Name: name})
		}
		if got := l.IsOrdinary(); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// cloned has a new repository fetch ids as a clone does. Nothing may be left of the clone.
func cloned(t *testing.T, g *Git, url string, ids ...string) (Repo, Fetched, error) {
	t.Helper()
	repo := g.Repo(filepath.Join(t.TempDir(), "m"))
	if err := repo.Init(t.Context(), len(ids[0]), ""); err != nil {
		t.Fatal(err)
	}
	f, err := repo.Fetch(t.Context(), Remote{URL: url}, ids, FetchMode{Clone: true}, nil)
	entries, listErr := os.ReadDir(filepath.Join(repo.Dir, "objects"))
	if listErr != nil {
		t.Fatal(listErr)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "tmp_") {
			t.Errorf("%s is left (%v)", entry.Name(), err)
		}
	}
	return repo, f, err
}

// damageIn returns the damage of a repository whose refs are these ids.
func damageIn(t *testing.T, repo Repo, ids ...string) error {
	t.Helper()
	damage, err := repo.Connected(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	return damage
}

// TestFetchAsClone brings all that is asked for, whether or not branches and tags lead to it.
func TestFetchAsClone(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	lost := r.Commit("gone", map[string]string{"f": "lost"})
	r.Git("update-ref", "-d", "refs/heads/gone")
	main := r.Commit("main", map[string]string{"f": "1"})
	main = r.Commit("main", map[string]string{"f": main})
	other := r.Commit("other", map[string]string{"g": "2"})
	r.Git("update-ref", "refs/pull/1/head", other)
	r.Git("update-ref", "-d", "refs/heads/other")
	r.Git("-c", "user.name=T", "-c", "user.email=t@example.org", "tag", "-a", "-m", "m", "v1", main)
	tag := r.Git("rev-parse", "v1")
	blob := r.GitIn("a blob\n", "hash-object", "-w", "--stdin")
	r.Git("update-ref", "refs/tags/blob", blob)
	for name, id := range map[string]string{"blob": blob, "tag": tag} { // which git itself refuses to write
		if err := os.WriteFile(filepath.Join(r.Dir, "refs", "heads", name), []byte(id+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.Git("symbolic-ref", "HEAD", "refs/heads/tag")
	urls := map[string]string{
		"path": r.Dir, "file": "file://" + r.Dir, "http": origin.ServeHTTP(t, root).URL + "/r.git",
		"git": origin.ServeGit(t, root) + "/r.git", "only version 2": origin.ServeModernGit(t, root) + "/r.git",
	}
	for what, url := range urls {
		for _, level := range []Fsck{FsckDefault, FsckStrict, FsckOff} {
			g := New(Options{AllowLocal: true, Fsck: level})
			ids := []string{main, tag, blob, other}
			if what != "git" { // version 0 gives only what refs lead to
				ids = append(ids, lost)
			}
			repo, f, err := cloned(t, g, url, ids...)
			if err != nil || len(f.Warnings)+len(f.Refused) > 0 {
				t.Errorf("%s, %s: %+v, %v", what, level, f, err)
				continue
			}
			if damage := damageIn(t, repo, ids...); damage != nil {
				t.Errorf("%s, %s: %v", what, level, damage)
			}
			config, _ := os.ReadFile(filepath.Join(repo.Dir, "config"))
			if refs, _ := repo.Survivors(); len(refs) > 0 || strings.Contains(string(config), "remote") {
				t.Errorf("%s, %s: more than objects was taken over: %v\n%s", what, level, refs, config)
			}
		}
		none := strings.Repeat("1", 40)
		repo, _, err := cloned(t, New(Options{AllowLocal: true}), url, main, none)
		if !errors.Is(err, ErrMoved) {
			t.Errorf("%s: an id that the remote has no more: %v", what, err)
		}
		_, _, err = cloned(t, New(Options{AllowLocal: true}), url+"-none", main)
		if err == nil || strings.Contains(err.Error(), "tmp_") || strings.Contains(err.Error(), "Cloning") {
			t.Errorf("%s: the error about no repository is %v", what, err)
		}
		if packs, err := repo.indexedPacks(); err != nil || len(packs) > 0 {
			t.Errorf("%s: a failed fetch has left %v (%v)", what, packs, err)
		}
	}
}

// TestFetchAsCloneOfShallow takes the border of the history over.
func TestFetchAsCloneOfShallow(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	for _, text := range []string{"1", "2", "3"} {
		r.Commit("main", map[string]string{"f": text})
	}
	tip := r.Git("rev-parse", "main")
	cut := filepath.Join(t.TempDir(), "cut.git")
	if out, err := origin.Command("clone", "-q", "--bare", "--depth=2", "file://"+r.Dir, cut).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	repo, _, err := cloned(t, New(Options{AllowLocal: true}), cut, tip)
	if err != nil {
		t.Fatal(err)
	}
	if damage := damageIn(t, repo, tip); damage != nil || !repo.IsShallow() {
		t.Errorf("shallow: %v; %v", repo.IsShallow(), damage)
	}
	if n := r.Git("--git-dir="+repo.Dir, "rev-list", "--count", tip); n != "2" {
		t.Errorf("it has %s commits", n)
	}
}

// TestFetchWalksOnce: git indexes the objects of a first fetch with all checks, and then walks
// none of them again.
func TestFetchWalksOnce(t *testing.T) {
	real, err := origin.Command("--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	bin, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	script := fmt.Sprintf("#!/bin/sh\nexport GIT_TRACE2_EVENT=%s\nexec %s/git \"$@\"\n", trace, strings.TrimSpace(string(real)))
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	tip := r.Commit("main", map[string]string{"f": "1"})
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for level, check := range map[Fsck]string{FsckDefault: `"--strict=`, FsckStrict: `"--strict"`, FsckOff: ""} {
		_ = os.Remove(trace)
		if _, _, err := cloned(t, New(Options{AllowLocal: true, Fsck: level}), r.Dir, tip); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		var indexed bool
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, `"child_start"`) && strings.Contains(line, `"index-pack"`) {
				indexed = true
				if !strings.Contains(line, `"--check-self-contained-and-connected"`) || !strings.Contains(line, check) {
					t.Errorf("%s: objects arrive without a check: %s", level, line)
				}
			}
		}
		// Git starts the walk in any case, and tells it where to begin. A walk reads objects.
		if !indexed || strings.Contains(string(text), `"fetch_refs"`) {
			t.Errorf("%s: that was no clone:\n%s", level, text)
		}
	}
}

// TestFetchAsCloneOfLiars: a pack that lacks something is no success, at any level, and leaves
// nothing.
func TestFetchAsCloneOfLiars(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	first := r.Commit("main", map[string]string{"f": "1", "d/g": "2"})
	tip := r.Commit("main", map[string]string{"f": "3"})
	objects := strings.Fields(r.Git("rev-list", "--objects", "--no-object-names", "main"))
	lacks := map[string]string{
		"": "", "a commit": first, "a tree": r.Git("rev-parse", "main:d"), "a file": r.Git("rev-parse", "main:f"), "the tip": tip,
	}
	for what, lacking := range lacks {
		left := slices.DeleteFunc(slices.Clone(objects), func(id string) bool { return id == lacking })
		cmd := origin.Command("--git-dir="+r.Dir, "pack-objects", "--stdout", "-q")
		cmd.Stdin = strings.NewReader(strings.Join(left, "\n") + "\n")
		pack, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		url := serveLiar(t, tip, pack)
		for _, level := range []Fsck{FsckDefault, FsckStrict, FsckOff} {
			repo, _, err := cloned(t, New(Options{Fsck: level}), url, tip)
			if (err == nil) != (lacking == "") {
				t.Errorf("%s, a pack that lacks %q: %v", level, what, err)
			}
			if packs, listErr := repo.indexedPacks(); listErr != nil || (err != nil) != (len(packs) == 0) {
				t.Errorf("%s, a pack that lacks %q: there is %v (%v)", level, what, packs, listErr)
			}
		}
	}
}

// serveLiar is a git daemon that has one branch, and always sends the same pack.
func serveLiar(t *testing.T, tip string, pack []byte) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	line := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, line(tip+" HEAD\x00symref=HEAD:refs/heads/main ofs-delta\n")+line(tip+" refs/heads/main\n")+"0000")
				for in := bufio.NewScanner(conn); in.Scan(); {
					if strings.HasSuffix(in.Text(), "done") {
						_, _ = io.WriteString(conn, line("NAK\n"))
						_, _ = conn.Write(pack)
						return
					}
				}
			}()
		}
	}()
	return "git://" + l.Addr().String() + "/r.git"
}
