package git

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/reconquest/sould/tests/origin"
)

func TestVersion(t *testing.T) {
	for out, want := range map[string]string{
		"git version 2.39.5\n":                      "2.39.5",
		"git version 2.31.0.windows.1\n":            "2.31.0.windows.1",
		"git version 3.0.rc1\n":                     "3.0.rc1",
		"git version 2.53.0 (Apple Git-160)\n":      "2.53.0",
		"git version 2.30.2\n":                      "",
		"git version 1.99\n":                        "",
		"git: 'version' is not a git command\nfoo ": "",
		"": "",
	} {
		got, err := parseVersion(out)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("parseVersion(%q) = %q, %v; want %q", out, got, err, want)
		}
	}
	if v, err := New(Options{}).Version(t.Context()); err != nil {
		t.Errorf("the git of this machine: %q, %v", v, err)
	}
}

// TestIsRefName compares with git itself.
func TestIsRefName(t *testing.T) {
	names := []string{
		"refs/heads/main", "refs/heads/a/b", "refs/heads/HEAD", "refs/heads/-x", "refs/heads/--output=x",
		"refs/heads/ü", "refs/heads/a@b", "refs/heads/@", "refs/heads/a.b", "refs/heads/a{", "refs/tags/v1.0",
		"HEAD", "main", "", "/", "refs//heads", "refs/heads/", "/refs/heads/x", "refs/heads/.x", "refs/heads/x.",
		"refs/heads/a..b", "refs/heads/x.lock", "refs/heads/x.lock/y", "refs/heads/a b", "refs/heads/a~1",
		"refs/heads/a^", "refs/heads/a:b", "refs/heads/a?", "refs/heads/a*", "refs/heads/a[b", "refs/heads/a\\b",
		"refs/heads/@{x", "refs/heads/a\x01", "refs/heads/a\x7f", "refs/heads/a\tb",
	}
	for _, name := range names {
		want := exec.Command("git", "check-ref-format", name).Run() == nil
		if got := IsRefName(name); got != want {
			t.Errorf("IsRefName(%q) = %v, git says %v", name, got, want)
		}
	}
	if IsRefName("refs/heads/a\x00b") || IsRefName("refs/heads/"+strings.Repeat("x", 300)) {
		t.Error("a NUL or an over-long component is taken")
	}
}

func TestParseListing(t *testing.T) {
	const a, b, c = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccccccccccccccccccccccc"
	got, err := parseListing("ref: refs/heads/main\tHEAD\n" + a + "\tHEAD\n" +
		b + "\trefs/tags/v1\n" + c + "\trefs/tags/v1^{}\n" + a + "\trefs/heads/main\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Ref{{"refs/heads/main", a, a}, {"refs/tags/v1", b, c}}
	if got.Head != (Head{"refs/heads/main", a}) || !slices.Equal(got.Refs, want) {
		t.Errorf("got %+v", got)
	}
	if ref, ok := got.Find("refs/tags/v1"); !ok || ref.Peeled != c {
		t.Errorf("Find = %+v, %v", ref, ok)
	}
	if got, err := parseListing(""); err != nil || len(got.Refs) != 0 || got.Head != (Head{}) {
		t.Errorf("an empty origin: %+v, %v", got, err)
	}
	if got, err := parseListing(a + "\tHEAD\n"); err != nil || !got.Head.Detached() {
		t.Errorf("a detached HEAD: %+v, %v", got, err)
	}
	for _, bad := range []string{"x\ty\n", a + " refs/heads/x\n", strings.ToUpper(a) + "\trefs/heads/x\n", "\n"} {
		if _, err := parseListing(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"fatal: 'https://u:p@h/x'":            "fatal: 'https://***@h/x'",
		"https://token@h/x and http://a:b@c/": "https://***@h/x and http://***@c/",
		"https://u:p@ss@h/x":                  "https://***@h/x",
		"ssh://git@h/x":                       "ssh://git@h/x",
		"git+ssh://git:pw@h/x":                "git+ssh://***@h/x",
		"https://u:p/w@h/x":                   "https://***@h/x",
		"ssh://u:p/w@h/x":                     "ssh://***@h/x",
		"mail a@b, https://h/x":               "mail a@b, https://h/x",
	} {
		if got := Redact(text); got != want {
			t.Errorf("Redact(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestStderrWithoutProgress(t *testing.T) {
	var seen []string
	s := &stderrText{progress: func(line string) { seen = append(seen, line) }}
	for _, piece := range []string{
		"remote: Counting ob", "jects:  50% (1/2)\rremote: Counting objects: 100% (2/2), done.\x1b[K\n",
		"remote: Total 2 (delta 0), reused 0 (delta 0)\n", "remote: welcome  \n\n",
		"Receiving objects: 100% (2/2)\rfatal: ends", " here",
	} {
		if _, err := s.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.text(); got != "remote: welcome\nfatal: ends here" {
		t.Errorf("text %q", got)
	}
	if len(seen) != 4 || seen[3] != "Receiving objects: 100% (2/2)" {
		t.Errorf("progress %q", seen)
	}
	long := &stderrText{}
	for range 3000 {
		long.Write([]byte("some line of noise\n"))
	}
	long.Write([]byte("the end"))
	if got := long.text(); len(got) > maxStderr+10 || !strings.HasSuffix(got, "the end") {
		t.Errorf("%d bytes kept, ending in %q", len(got), got[len(got)-20:])
	}
}

// TestStderrIsFitToBeShown: what a remote says comes to people as it is, at most without
// what would change their terminals or show credentials.
func TestStderrIsFitToBeShown(t *testing.T) {
	var seen []string
	s := &stderrText{progress: func(line string) { seen = append(seen, line) }, secrets: []string{"s3cr3t"}}
	evil := "\x1b]0;x\a\u009b31m\u202e s3c\x1br3t http://us3r:p4ss@h/ \xff\tend"
	for _, before := range []string{"remote: Counting objects: 1", "remote: "} {
		if _, err := s.Write([]byte(before + evil + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	const shown = "]0;x31m *** http://***@h/ \ufffd end"
	if want := "remote: " + shown; s.text() != want {
		t.Errorf("text %q, want %q", s.text(), want)
	}
	if want := "remote: Counting objects: 1" + shown; len(seen) != 1 || seen[0] != want {
		t.Errorf("progress %q, want %q", seen, want)
	}
	if _, err := s.Write([]byte("Receiving objects: 1" + strings.Repeat("ü", maxProgress) + "\r")); err != nil {
		t.Fatal(err)
	}
	if got := seen[len(seen)-1]; len(got) > maxProgress || !utf8.ValidString(got) {
		t.Errorf("progress of %d bytes: %q", len(got), got)
	}
}

// transports are servers of one directory, by name.
func transports(t *testing.T, root string) (map[string]string, Options) {
	t.Helper()
	https, ca := origin.ServeHTTPS(t, root)
	o := Options{AllowLocal: true, CAFile: ca}
	urls := map[string]string{
		"local": root, "http": origin.ServeHTTP(t, root).URL, "https": https.URL, "git": origin.ServeGit(t, root),
	}
	if ssh := origin.ServeSSH(t); ssh != nil {
		urls["ssh"] = ssh.URL + root
		o.SSHCommand = ssh.Command
	} else {
		t.Log("no sshd on this machine: ssh is not tested")
	}
	return urls, o
}

func TestTransports(t *testing.T) {
	root := t.TempDir()
	for name, format := range map[string]string{"one.git": "sha1", "two.git": "sha256"} {
		r := origin.New(t, filepath.Join(root, name), "--object-format="+format)
		first := r.Commit("main", map[string]string{"a": "1"})
		r.Git("tag", "light", first)
		r.Git("tag", "-a", "-m", "m", "annotated", first)
		r.Git("tag", "-a", "-m", "m", "nested", "annotated")
		r.Git("tag", "blob", first+":a")
		r.Commit("-x", map[string]string{"b": "2"})
	}
	urls, options := transports(t, root)
	g := New(options)
	for transport, base := range urls {
		for _, name := range []string{"one.git", "two.git"} {
			t.Run(transport+"/"+name, func(t *testing.T) {
				remote := Remote{URL: base + "/" + name}
				l, err := g.List(t.Context(), remote)
				if err != nil {
					t.Fatal(err)
				}
				local, err := g.Repo(filepath.Join(root, name)).Refs(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(l.Refs, local.Refs) || l.Head != local.Head {
					t.Errorf("listed\n%+v\nthe repository itself has\n%+v", l, local)
				}
				main, _ := l.Find("refs/heads/main")
				if nested, _ := l.Find("refs/tags/nested"); nested.Peeled != main.ID || nested.ID == main.ID {
					t.Errorf("a tag of a tag: %+v", nested)
				}

				repo := g.Repo(filepath.Join(t.TempDir(), "mirror"))
				if err := repo.Init(t.Context(), len(main.ID), remote.URL); err != nil {
					t.Fatal(err)
				}
				var ids []string
				for _, ref := range l.Refs {
					ids = append(ids, ref.ID)
				}
				if err := repo.Fetch(t.Context(), remote, ids, nil); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(repo.WriteRefs(l.Refs), repo.WriteHead(l.Head)); err != nil {
					t.Fatal(err)
				}
				got, err := repo.Refs(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got.Refs, l.Refs) || got.Head != l.Head {
					t.Errorf("the mirror has\n%+v\nthe origin\n%+v", got, l)
				}
				if out, err := origin.Command("--git-dir="+repo.Dir, "fsck", "--full", "--strict").CombinedOutput(); err != nil {
					t.Errorf("fsck: %v\n%s", err, out)
				}

				gone := strings.Repeat("0", len(main.ID)-1) + "1"
				if err := repo.Fetch(t.Context(), remote, []string{gone}, nil); !errors.Is(err, ErrMoved) {
					t.Errorf("fetching what the origin does not have: %v", err)
				}
			})
		}
	}
}

func TestCredentials(t *testing.T) {
	root := t.TempDir()
	origin.New(t, filepath.Join(root, "r.git")).Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	server.Require("jack", "hunter2secret")
	g := New(Options{})
	remote := Remote{URL: server.URL + "/r.git", User: "jack", Password: "hunter2secret"}
	if _, err := g.List(t.Context(), remote); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	remote.Password = "wrong-wrong"
	_, err := g.List(t.Context(), remote)
	if err == nil || strings.Contains(err.Error(), "wrong-wrong") || strings.Contains(err.Error(), "jack") {
		t.Errorf("with a wrong one: %v", err)
	}
}

func TestLocalOriginsNeedPermission(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r.git")
	origin.New(t, dir).Commit("main", nil)
	for _, url := range []string{dir, "file://" + dir} {
		if _, err := New(Options{}).List(t.Context(), Remote{URL: url}); err == nil {
			t.Errorf("%s was read without permission", url)
		}
	}
	for _, url := range []string{"ext::sh -c 'touch " + dir + "/pwned'", "fd::7", "--upload-pack=touch " + dir + "/pwned"} {
		if _, err := New(Options{AllowLocal: true}).List(t.Context(), Remote{URL: url}); err == nil {
			t.Errorf("%s was taken", url)
		}
		if _, err := os.Stat(dir + "/pwned"); err == nil {
			t.Fatalf("%s ran a program", url)
		}
	}
}

// mixed is a repository with refs in all places and forms in which git keeps them.
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
	if settled, err := repo.Settle(t.Context()); err != nil || !slices.Equal(settled.Refs, want.Refs) {
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
	r.Git("pack-refs", "--all") // git's own writing of the same
	if theirs, err := os.ReadFile(filepath.Join(r.Dir, "packed-refs")); err != nil || string(theirs) != string(ours) {
		t.Errorf("git writes\n%swe write\n%s%v", theirs, ours, err)
	}
	check("written by git")

	// A file of an older git says less.
	old := strings.Replace(string(ours), packedHeader, "# pack-refs with: peeled ", 1)
	if err := os.WriteFile(filepath.Join(r.Dir, "packed-refs"), []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	check("of an older git")
	if _, err := repo.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenRefs(t *testing.T) {
	r := mixed(t)
	repo := New(Options{}).Repo(r.Dir)
	// As a power failure can leave them.
	for name, text := range map[string]string{"refs/heads/main": "", "refs/heads/zero": "", "refs/heads/junk": "junk\n", "refs/heads/x.lock": "x"} {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := repo.Settle(t.Context())
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
	if _, err := repo.Settle(t.Context()); err != nil {
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
	// Somebody else is writing.
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
	if _, err := repo.IsAncestor(t.Context(), missing, second); !errors.Is(err, ErrNotFound) {
		t.Errorf("a missing commit: %v", err)
	}
}

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

func TestSweepLeavesNothingButTheRepository(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "odd[1]*.git"))
	id := r.Commit("main", map[string]string{"a": "b"})
	r.Git("repack", "-adq")
	packs, _ := filepath.Glob(filepath.Join(globQuote(r.Dir), "objects/pack/*.pack"))
	kept := strings.TrimSuffix(packs[0], ".pack") + ".keep"
	stale := []string{
		"HEAD.lock", "packed-refs.lock", "config.lock", "packed-refs.new", "refs/heads/main.lock", "refs/heads/a/b.lock",
		"objects/pack/tmp_pack_abc", "objects/pack/tmp_idx_abc", "objects/pack/.tmp-1-pack-x.pack",
		"objects/aa/tmp_obj_x", "objects/info/commit-graph.lock", "objects/pack/pack-1.keep",
	}
	for _, name := range append(stale, "description") {
		path := filepath.Join(r.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("fetch-pack 1 on host"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(kept, []byte("kept by an operator\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	stale = append(stale, "objects/pack/pack-2.keep") // as git leaves it on a full disk
	if err := os.WriteFile(filepath.Join(r.Dir, stale[len(stale)-1]), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := New(Options{}).Repo(r.Dir).Sweep(); err != nil {
		t.Fatal(err)
	}
	for _, name := range stale {
		if _, err := os.Stat(filepath.Join(r.Dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, path := range []string{kept, filepath.Join(r.Dir, "description")} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s is gone", path)
		}
	}
	if r.Git("rev-parse", "main") != id {
		t.Error("the branch has changed")
	}
}

// TestEndOfContextEndsTheWholeFamily also leaves no helper behind: the leash,
// which helpers hold too, can be taken at once.
func TestEndOfContextEndsTheWholeFamily(t *testing.T) {
	mute := origin.NewProxy(t, "127.0.0.1:1")
	mute.Set(origin.Fault{Mute: true})
	path := filepath.Join(t.TempDir(), "leash")
	leash, err := NewLeash(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	g := New(Options{Leash: leash})
	reason := errors.New("long enough")
	for _, scheme := range []string{"http", "git"} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, reason)
		began := time.Now()
		_, err = g.List(ctx, Remote{URL: scheme + "://" + mute.Addr + "/x.git"})
		cancel()
		if !errors.Is(err, reason) || !strings.Contains(err.Error(), "long enough") {
			t.Errorf("%s: %v, want the cause", scheme, err)
		}
		if took := time.Since(began); took > 2*grace {
			t.Errorf("%s: it took %s to end", scheme, took)
		}
	}
	if err := leash.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := g.List(t.Context(), Remote{URL: "http://127.0.0.1:1/x"}); !errors.Is(err, ErrClosed) {
		t.Errorf("a command after Close: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no waiting
	next, err := NewLeash(ctx, path)
	if err != nil {
		t.Fatalf("a process is left: %v", err)
	}
	next.Close()
}

func TestLeashEndsWhatAnEarlierDaemonLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leash")
	old, err := NewLeash(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	orphan := exec.Command("sleep", "1000")
	orphan.ExtraFiles = []*os.File{old.file}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	if err := old.file.Close(); err != nil { // as the kernel does for a daemon that was killed
		t.Fatal(err)
	}
	next, err := NewLeash(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := orphan.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the orphan ended with %v", err)
	}
}

func TestErrorOfASignal(t *testing.T) {
	g := New(Options{})
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	commit := r.Commit("main", map[string]string{"a": strings.Repeat("x", 1<<20)})
	neutral, err := NewNeutral(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no room")
	err = g.Repo(r.Dir).Tar(t.Context(), neutral, Archive{Commit: commit}, failingWriter{full})
	if err != full {
		t.Errorf("an error of the writer became %v", err)
	}
	err = g.Repo(r.Dir).Tar(t.Context(), neutral, Archive{Commit: strings.Repeat("1", 40)}, failingWriter{full})
	var e *Error
	if !errors.As(err, &e) || e.ExitCode != 128 || !strings.Contains(e.Stderr, "fatal:") {
		t.Errorf("a missing commit: %#v", err)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }
