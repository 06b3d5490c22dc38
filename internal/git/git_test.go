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

// transports are the URLs of one directory, by the name of the transport.
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
				if _, err := repo.Fetch(t.Context(), remote, ids, FetchMode{}, nil); err != nil {
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
				if _, err := repo.Fetch(t.Context(), remote, []string{gone}, FetchMode{}, nil); !errors.Is(err, ErrMoved) {
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
