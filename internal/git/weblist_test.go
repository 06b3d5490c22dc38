package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// compareLists asks for a list without git and with it. If ours is true, the former must have
// worked.
func compareLists(t *testing.T, g *Git, r Remote, ours bool) {
	t.Helper()
	r = r.withNetrc()
	var want Listing
	wantErr := g.followRedirects(t.Context(), r, func(r Remote) (err error) {
		want, err = g.list(t.Context(), r)
		return err
	})
	for range 3 { // what is remembered of the first time must not matter
		got, done, err := g.listOverWeb(t.Context(), r, nil)
		switch {
		case done != ours:
			fresh := New(Options{})
			_, why := fresh.web.List(t.Context(), g.webRequest(r, r.webURL(), nil))
			t.Fatalf("%s was asked without git: %v (%v)", r.URL, done, why)
		case !done:
			continue
		case err != nil || wantErr != nil:
			t.Fatalf("%v; git says %v", err, wantErr)
		}
		if got.Head != want.Head || !slices.Equal(got.Refs, want.Refs) {
			t.Fatalf("%s shows %.2000v\nand to git  %.2000v", r.URL, got, want)
		}
	}
}

// manyKinds are repositories of all kinds.
func manyKinds(t *testing.T, root string) (names []string) {
	t.Helper()
	repo := func(name string, options ...string) *origin.Repo {
		names = append(names, name)
		return origin.New(t, filepath.Join(root, name), options...)
	}
	repo("empty.git")
	r := repo("usual.git")
	id := r.Commit("main", nil)
	r.Commit("other", nil)
	r.Git("tag", "-am", "m", "v1", "main")
	r.Git("tag", "-am", "m", "v1-of-a-tag", "v1")
	r.Git("tag", "light", "other")
	r.Git("update-ref", "refs/tags/caf\xe9", id)
	r.Git("update-ref", "refs/heads/ü/\u202e", id)
	r.Git("update-ref", "refs/heads/-x", id)
	r.Git("symbolic-ref", "refs/heads/alias", "refs/heads/other")
	r.Git("update-ref", "refs/notes/commits", id)

	r = repo("detached.git")
	r.Git("update-ref", "--no-deref", "HEAD", r.Commit("main", nil))
	r = repo("unborn.git")
	r.Commit("side", nil)
	r = repo("unborn-alone.git")
	r.Git("symbolic-ref", "HEAD", "refs/heads/caf\xe9")
	r = repo("latin.git")
	r.Git("update-ref", "refs/heads/caf\xe9", r.Commit("main", nil))
	r.Git("symbolic-ref", "HEAD", "refs/heads/caf\xe9")
	r = repo("to-a-tag.git")
	r.Commit("main", nil)
	r.Git("tag", "-am", "m", "v1", "main")
	r.Git("symbolic-ref", "HEAD", "refs/tags/v1")
	r = repo("sha256.git", "--object-format=sha256")
	r.Commit("main", nil)
	r.Git("tag", "-am", "m", "v1", "main")
	repo("sha256-empty.git", "--object-format=sha256")

	r = repo("many.git")
	id = r.Commit("main", nil)
	var all strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&all, "create refs/heads/b%d %s\n", i, id)
	}
	r.GitIn(all.String(), "update-ref", "--stdin")

	r = repo("shallow.git")
	r.Git("fetch", "--depth=1", "file://"+filepath.Join(root, "usual.git"), "+refs/heads/*:refs/heads/*")
	return names
}

func TestListIsThatOfGit(t *testing.T) {
	root := t.TempDir()
	server := origin.ServeHTTP(t, root)
	tls, caFile := origin.ServeHTTPS(t, root)
	g := New(Options{CAFile: caFile})
	kinds := manyKinds(t, root)
	for _, name := range kinds {
		compareLists(t, g, Remote{URL: server.URL + "/" + name}, name != "to-a-tag.git")
	}
	for _, r := range []Remote{
		{URL: tls.URL + "/usual.git"},
		{URL: tls.URL + "/usual.git", Direct: true, CAFile: caFile, Headers: []string{"Sould-Peer: x"}},
		{URL: server.URL + "/empty.git", Direct: true},
		{URL: server.URL + "/usual.git/"},
		{URL: server.URL + "/%75sual.git"},
	} {
		compareLists(t, g, r, true)
	}
	for _, url := range []string{
		server.URL + "/x/../usual.git", server.URL + "/usual.git?x=y",
		strings.Replace(server.URL, "http://", "http://jack@", 1) + "/usual.git",
	} {
		compareLists(t, g, Remote{URL: url}, false)
	}
	compareLists(t, New(Options{}), Remote{URL: tls.URL + "/usual.git"}, false)
	compareLists(t, g, Remote{URL: tls.URL + "/usual.git", CAFile: filepath.Join(t.TempDir(), "none")}, false)
	dumb := origin.ServeDumb(t, root)
	if out, err := origin.Command("--git-dir="+filepath.Join(root, "usual.git"), "update-server-info").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	compareLists(t, g, Remote{URL: dumb + "/usual.git"}, false)

	for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusInternalServerError} {
		server.Be(origin.ModernOnly(status))
		fresh := New(Options{})
		for _, name := range kinds {
			compareLists(t, fresh, Remote{URL: server.URL + "/" + name}, name != "to-a-tag.git")
		}
	}
}

// TestRefusalsAreThoseOfGit, word by word, for as many requests.
func TestRefusalsAreThoseOfGit(t *testing.T) {
	var answer atomic.Value // a http.HandlerFunc
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answer.Load().(http.HandlerFunc)(w, r)
	}))
	t.Cleanup(server.Close)
	const plain, certificate = "text/plain; charset=utf-8", "its certificate has expired"
	for _, c := range []struct {
		status     int
		kind, text string
		ours       bool
	}{
		{400, plain, "no such thing\n", true}, {403, plain, "not you", true}, {404, plain, "\n\n  two \r\n\r\nlines \n ", true},
		{410, "text/plain", "gone", true}, {429, "", "", true}, {500, plain, "", true}, {503, "text/html", "<b>later</b>", true},
		{500, plain, "remote: Counting objects: 1\n\x1b[31mred\x00\u202e\n", true}, {500, "Text/Plain", "upper", true},
		{500, plain, "a token s3cr3t-p4ss and http://u:s3cr3t-p4ss@h/r", true}, {500, plain, certificate, true},
		{599, plain, "what is this", true}, {418, plain, "a \xff byte", false}, {500, "text/plain; charset=latin1", "caf\xe9", false},
		{500, plain, strings.Repeat("long\n", 2000), false}, {500, "text/plain;;", "x", false}, {401, plain, "who?", false},
	} {
		answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{c.kind}
			if c.kind == "" {
				w.Header()["Content-Type"] = nil
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.text)
		}))
		for _, r := range []Remote{{}, {Direct: true}, {User: "jack", Password: "s3cr3t-p4ss"}} {
			r.URL = server.URL + "/s3cr3t-p4ss/r"
			g := New(Options{})
			asked.Store(0)
			_, err := g.list(t.Context(), r)
			want, times := fmt.Sprint(r.withHint(err)), asked.Load()
			asked.Store(0)
			_, done, _ := g.listOverWeb(t.Context(), r, nil)
			if c.text == certificate { // git's words would make version 2 look vain
				times = asked.Load()
			}
			if ofOurs := asked.Load(); done != c.ours || done && ofOurs != times {
				t.Errorf("%d %q %q: ours: %v, asked %d times, git %d times", c.status, c.kind, c.text, done, ofOurs, times)
			}
			if _, err = g.List(t.Context(), r); err == nil || err.Error() != want {
				t.Errorf("%d %q %q: %v\ngit says %s", c.status, c.kind, c.text, err, want)
			}
			e := (*Error)(nil)
			if !errors.As(err, &e) || e.Command != "ls-remote" || e.ExitCode != 128 || strings.Contains(fmt.Sprint(e.Args, e.Stderr), "s3cr3t") && r.Password != "" {
				t.Errorf("%d %q: %+v", c.status, c.kind, e)
			}
		}
	}
}

// TestListOfAPart: what nobody wants is left out where that is worth an exchange.
func TestListOfAPart(t *testing.T) {
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	id := r.Commit("main", nil)
	r.Git("tag", "-am", "m", "v1", "main")
	var all strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&all, "create refs/pull/%d/head %s\n", i, id)
	}
	r.GitIn(all.String(), "update-ref", "--stdin")
	server := origin.ServeHTTP(t, root)
	g := New(Options{})
	for i, want := range []int{3002, 2, 2} {
		l, err := g.List(t.Context(), Remote{URL: server.URL + "/r.git"}, "refs/heads/", "refs/tags/")
		if err != nil || len(l.Refs) != want || l.Head != (Head{"refs/heads/main", id}) || l.Refs[len(l.Refs)-1].Peeled != id {
			t.Errorf("list %d: %d refs, want %d: %v, %v", i, len(l.Refs), want, l.Head, err)
		}
	}
}

func TestListWithALogin(t *testing.T) {
	root, home := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	origin.New(t, filepath.Join(root, "r.git")).Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	server.Require("jack", "s3cr3t")
	url := server.URL + "/r.git"
	for _, c := range []struct {
		what, netrc string
		remote      Remote
		ours        bool
	}{
		{"in the URL", "", Remote{User: "jack", Password: "s3cr3t"}, true},
		{"wrong", "", Remote{User: "jack", Password: "s3cr3d"}, false},
		{"a user whom the file completes", "machine 127.0.0.1 login jack password s3cr3t", Remote{User: "jack"}, true},
		{"one whom it does not", "machine 127.0.0.1 login jim password s3cr3t", Remote{User: "jack"}, false},
		{"in the file alone", "machine 127.0.0.1 login jack password s3cr3t", Remote{}, true},
		{"two in the file", "machine 127.0.0.1 login jack password s3cr3t\nmachine 127.0.0.1 login jim password s3cr3t", Remote{}, false},
		{"nowhere", "", Remote{}, false},
		{"a token that is none", "machine 127.0.0.1 login jack password s3cr3t", Remote{Headers: []string{"Authorization: Bearer x"}}, false},
	} {
		if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte(c.netrc), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run(c.what, func(t *testing.T) {
			c.remote.URL = url
			compareLists(t, New(Options{}), c.remote, c.ours)
		})
	}
	if err := os.Remove(filepath.Join(home, ".netrc")); err != nil {
		t.Fatal(err)
	}
	// What is sent without being asked for is as from git: nothing but what came with the URL.
	var early []string
	server.Before(func(r *http.Request) { early = append(early, r.Header.Get("Authorization")) })
	if _, err := New(Options{}).List(t.Context(), Remote{URL: url, User: "jack"}); err == nil || early[0] != "" {
		t.Errorf("%q, %v", early, err)
	}
}

// TestRefusedLogin: a server that counts how often somebody comes in vain counts no more than
// of git, but for the first time.
func TestRefusedLogin(t *testing.T) {
	root := t.TempDir()
	origin.New(t, filepath.Join(root, "r.git")).Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	server.Require("jack", "s3cr3t")
	var asked atomic.Int64
	server.Before(func(*http.Request) { asked.Add(1) })
	g, r := New(Options{}), Remote{URL: server.URL + "/r.git", User: "jack", Password: "wrong"}
	if _, err := g.list(t.Context(), r); err == nil {
		t.Fatal("it is let in")
	}
	ofGit := asked.Load()
	for i, want := range []int64{ofGit + 1, ofGit, ofGit} {
		asked.Store(0)
		_, err := g.List(t.Context(), r)
		if err == nil || !strings.Contains(err.Error(), "refuses the user and the password") || asked.Load() != want {
			t.Errorf("list %d: asked %d times, want %d: %v", i, asked.Load(), want, err)
		}
	}
}

func TestListThatIsRedirected(t *testing.T) {
	root := t.TempDir()
	origin.New(t, filepath.Join(root, "r.git")).Commit("main", nil)
	server, other := origin.ServeHTTP(t, root), origin.ServeHTTP(t, root)
	allowed := New(Options{RestrictRedirects: true, AllowRedirect: func(url string) error {
		if strings.HasSuffix(url, "/r.git") {
			return nil
		}
		return errors.New("not this one")
	}})
	for _, c := range []struct {
		to   string
		g    *Git
		r    Remote
		ours bool
	}{
		{"/r.git/", New(Options{}), Remote{}, true},
		{"/r.git/", New(Options{}), Remote{User: "jack", Password: "s3cr3t"}, true},
		{"/r.git/", allowed, Remote{}, true},
		{"/r.git/", New(Options{RestrictRedirects: true}), Remote{}, false},
		{"/x/../r.git/", New(Options{}), Remote{}, true},
		{"/old/", New(Options{}), Remote{}, false}, // for ever
		{"/r.git/", New(Options{}), Remote{Direct: true}, false},
		{other.URL + "/r.git/", New(Options{}), Remote{}, false},
		{other.URL + "/r.git/", New(Options{}), Remote{User: "jack", Password: "s3cr3t"}, false},
	} {
		server.Be(origin.MovedTo("/old/", c.to))
		c.r.URL = server.URL + "/old"
		t.Run(fmt.Sprint(c.to, c.r), func(t *testing.T) { compareLists(t, c.g, c.r, c.ours) })
	}
}

func TestListThroughProxies(t *testing.T) {
	root := t.TempDir()
	origin.New(t, filepath.Join(root, "r.git")).Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	tls, caFile := origin.ServeHTTPS(t, root)
	proxy := origin.ServeForward(t)
	for _, name := range []string{"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	for _, c := range []struct {
		env         string
		http, https bool // a proxy is used
		left        bool // to git
	}{
		{"", false, false, false},
		{"http_proxy=P", true, false, false},
		{"HTTP_PROXY=P", false, false, false},
		{"https_proxy=P", false, true, false},
		{"HTTPS_PROXY=P", false, true, false},
		{"HTTPS_PROXY=P https_proxy=", false, false, false},
		{"ALL_PROXY=P", true, true, false},
		{"all_proxy=P no_proxy=127.0.0.1", false, false, false},
		{"all_proxy=P no_proxy=*", false, false, false},
		{"all_proxy=P NO_PROXY=example.org,.local", true, true, false},
		{"all_proxy=P no_proxy=127.0.0.0/8", false, false, true},
		{"all_proxy=socks5://127.0.0.1:1", true, true, true},
	} {
		t.Run(c.env, func(t *testing.T) {
			for word := range strings.FieldsSeq(c.env) {
				name, value, _ := strings.Cut(word, "=")
				t.Setenv(name, strings.Replace(value, "P", proxy.URL, 1))
			}
			g := New(Options{CAFile: caFile})
			for url, proxied := range map[string]bool{server.URL: c.http, tls.URL: c.https} {
				r := Remote{URL: url + "/r.git"}
				if c.left {
					if _, done, _ := g.listOverWeb(t.Context(), r, nil); done {
						t.Errorf("%s is not left to git", url)
					}
					continue
				}
				proxy.Passed.Store(0)
				if _, err := g.list(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				if ofGit := proxy.Passed.Load() > 0; ofGit != proxied {
					t.Errorf("git uses a proxy for %s: %v", url, ofGit)
				}
				proxy.Passed.Store(0)
				compareOurs(t, g, r)
				if used := proxy.Passed.Load() > 0; used != proxied {
					t.Errorf("a proxy is used for %s: %v", url, used)
				}
			}
			proxy.Passed.Store(0)
			compareOurs(t, g, Remote{URL: server.URL + "/r.git", Direct: true})
			if proxy.Passed.Load() > 0 {
				t.Error("a proxy is used for a peer")
			}
		})
	}
}

func compareOurs(t *testing.T, g *Git, r Remote) {
	t.Helper()
	if l, done, err := g.listOverWeb(t.Context(), r, nil); !done || err != nil || len(l.Refs) != 1 {
		t.Errorf("%s: %v, %v, %v", r.URL, l, done, err)
	}
}

// TestCertificatesOfTheEnvironment: what git's library would heed is heeded, or left to it.
func TestCertificatesOfTheEnvironment(t *testing.T) {
	root := t.TempDir()
	origin.New(t, filepath.Join(root, "r.git")).Commit("main", nil)
	server, caFile := origin.ServeHTTPS(t, root)
	r := Remote{URL: server.URL + "/r.git"}
	t.Setenv("GIT_SSL_CAINFO", caFile)
	compareOurs(t, New(Options{}), r)
	os.Unsetenv("GIT_SSL_CAINFO")
	for _, name := range []string{"GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, filepath.Dir(caFile))
			if _, done, _ := New(Options{}).listOverWeb(t.Context(), r, nil); done {
				t.Error("it is not left to git")
			}
		})
	}
	// A file that changes counts at once, as it does for git.
	changing := filepath.Join(t.TempDir(), "ca.pem")
	g := New(Options{CAFile: changing})
	text, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		text []byte
		want bool
	}{{text, true}, {[]byte("none\n"), false}, {text, true}} {
		file := filepath.Join(t.TempDir(), "new")
		if err := errors.Join(os.WriteFile(file, c.text, 0o600), os.Rename(file, changing)); err != nil {
			t.Fatal(err)
		}
		if _, done, _ := g.listOverWeb(t.Context(), r, nil); done != c.want {
			t.Errorf("%d: trusted: %v", i, done)
		}
	}
}

// TestListEndsInTime: an origin that does not answer costs its time once, in the words of git.
func TestListEndsInTime(t *testing.T) {
	mute := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(mute.Close)
	for _, url := range []string{mute.URL, "http://" + origin.BlackHole(t)} {
		cause := errors.New("the origin did not answer")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, cause)
		_, err := New(Options{}).List(ctx, Remote{URL: url + "/r.git"})
		cancel()
		if !errors.Is(err, cause) || err.Error() != "git ls-remote: the origin did not answer" || IsLocalFault(err) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestKeptConnections: lists use one, also after the server has closed it.
func TestKeptConnections(t *testing.T) {
	root := t.TempDir()
	origin.New(t, filepath.Join(root, "r.git")).Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	seen := make(map[string]bool)
	server.Before(func(r *http.Request) { seen[r.RemoteAddr] = true })
	g, r := New(Options{}), Remote{URL: server.URL + "/r.git"}
	for range 20 {
		compareOurs(t, g, r)
	}
	if len(seen) != 1 {
		t.Errorf("%d connections for 20 lists", len(seen))
	}
	server.HangUp()
	compareOurs(t, g, r)
	g.CloseIdle()
	compareOurs(t, g, r)
	if len(seen) != 3 {
		t.Errorf("%d connections, want one more after each was closed", len(seen))
	}
}
