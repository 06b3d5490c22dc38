package git

import (
	"errors"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/publicnet"
	"github.com/reconquest/sould/tests/origin"
)

// permitting returns a guard that permits public addresses, and one more.
func permitting(t *testing.T, address string) *publicnet.Guard {
	t.Helper()
	g := publicnet.New(func(a netip.Addr) error {
		if a.String() == address {
			return nil
		}
		return publicnet.Check(a)
	})
	t.Cleanup(g.Close)
	return g
}

// TestPublicRemotes: lists and transfers go to permitted addresses only, also where a server redirects
// git between the two, and whatever the environment says of proxies.
func TestPublicRemotes(t *testing.T) {
	root := t.TempDir()
	id := origin.New(t, filepath.Join(root, "r.git")).Commit("main", map[string]string{"a": "1"})
	plain := origin.ServeHTTP(t, root)
	secure, ca := origin.ServeHTTPS(t, root)
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	t.Setenv("https_proxy", "http://127.0.0.1:1")
	t.Setenv("no_proxy", "*")
	options := Options{CAFile: ca, Guard: permitting(t, "127.0.0.1")}
	g := New(options)
	options.Guard = permitting(t, "127.0.0.9")
	closed := New(options)
	for _, base := range []string{plain.URL, secure.URL} {
		remote := Remote{URL: base + "/r.git", Public: true}
		l, err := g.List(t.Context(), remote)
		if err != nil || len(l.Refs) != 1 {
			t.Fatal(l, err)
		}
		if l, err = g.list(t.Context(), remote); err != nil || len(l.Refs) != 1 { // with git itself
			t.Fatal(l, err)
		}
		for _, mode := range []FetchMode{{}, {Clone: true}} {
			repo := g.Repo(filepath.Join(t.TempDir(), "mirror"))
			if err := repo.Init(t.Context(), 40, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := repo.Fetch(t.Context(), remote, []string{id}, mode, nil); err != nil {
				t.Fatal(err)
			}
			repo = closed.Repo(filepath.Join(t.TempDir(), "mirror"))
			if err := repo.Init(t.Context(), 40, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := repo.Fetch(t.Context(), remote, []string{id}, mode, nil); !isPrivate(err) {
				t.Errorf("%s is fetched: %v", base, err)
			}
		}
		if _, err := closed.List(t.Context(), remote); !isPrivate(err) {
			t.Errorf("%s is listed: %v", base, err)
		}
		if _, err := closed.list(t.Context(), remote); !isPrivate(err) {
			t.Errorf("%s is listed by git: %v", base, err)
		}
	}
	inside := strings.Replace(plain.URL, "127.0.0.1", "127.0.0.2", 1)
	plain.Be(origin.Redirecting(func(r *http.Request) string { return inside + "/r.git/info/refs?service=git-upload-pack" }))
	if _, err := g.list(t.Context(), Remote{URL: plain.URL + "/x.git", Public: true}); !isPrivate(err) {
		t.Errorf("a redirect is followed: %v", err)
	}
}

func isPrivate(err error) bool {
	return errors.Is(err, publicnet.ErrPrivate) && strings.Contains(err.Error(), "127.0.0.")
}

// TestPublicOverOtherProtocols: what no proxy guards is refused, before anything is begun.
func TestPublicOverOtherProtocols(t *testing.T) {
	g := New(Options{AllowLocal: true, Guard: permitting(t, "127.0.0.1"), SSHCommand: "false"})
	for _, url := range []string{"git@127.0.0.1:r.git", "ssh://git@127.0.0.1/r.git", "git://127.0.0.1/r.git", t.TempDir(), "file://" + t.TempDir()} {
		if _, err := g.List(t.Context(), Remote{URL: url, Public: true}); !errors.Is(err, errNotOverWeb) {
			t.Errorf("list %s: %v", url, err)
		}
		if _, err := g.Repo(t.TempDir()).Fetch(t.Context(), Remote{URL: url, Public: true}, []string{strings.Repeat("a", 40)}, FetchMode{}, nil); !errors.Is(err, errNotOverWeb) {
			t.Errorf("fetch %s: %v", url, err)
		}
	}
	if _, err := New(Options{}).List(t.Context(), Remote{URL: "http://127.0.0.1:1/r", Public: true}); err == nil || !strings.Contains(err.Error(), "nobody checks") {
		t.Errorf("without a guard: %v", err)
	}
}
