package git

import (
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

func TestCheckRedirect(t *testing.T) {
	reason := errors.New("git's words")
	free, bound := New(Options{}), New(Options{RestrictRedirects: true, AllowRedirect: func(url string) error {
		if strings.Contains(url, "/team/") {
			return nil
		}
		return errors.New("not this one")
	}})
	for _, c := range []struct {
		g        *Git
		from, to string
		want     string // a URL, or words of the error
	}{
		{free, "http://h/r", "http://h/r.git" + listPath, "http://h/r.git"},
		{free, "http://h/r", "http://H:80/r.git" + listPath, "http://H:80/r.git"},
		{free, "https://h:443/r", "https://h/r.git" + listPath, "https://h/r.git"},
		{free, "http://h/r", "https://h/r" + listPath, "to https://h/r, which is not followed: what it was sent"},
		{free, "https://h/r", "http://h/r" + listPath, "POST with it as origin"},
		{free, "http://h/r", "http://h:8080/r" + listPath, "to http://h:8080/r, which is not followed"},
		{free, "http://h/r", "http://h.evil/r" + listPath, "to http://h.evil/r, which is not followed"},
		{free, "http://h/r", "http://jack@h/r" + listPath, "to http://***@h/r, which is not followed"},
		{free, "http://h/r", "http://h/login?to=/r", "to http://h/login, which is not a repository"},
		{free, "http://h/r", "http://h/r/info/refs", "to http://h/r/info/refs, which is not a repository"},
		{free, "http://h/r", "http://h/s3cr3t-p4ss" + "/x", "to http://h/***/x, which is not a repository"},
		{free, "http://h/r", "ext::sh" + listPath, "which is not followed"},
		{free, "http://h/r", "file:///r" + listPath, "to file:///r, which is not followed"},
		{bound, "http://h/r", "http://h/team/r.git" + listPath, "http://h/team/r.git"},
		{bound, "http://h/r", "http://h/other/r.git" + listPath, "to http://h/other/r.git, which is not followed: not this one"},
		{bound, "http://h/r", "http://i/team/r.git" + listPath, "only certain origins"},
		{New(Options{RestrictRedirects: true}), "http://h/r", "http://h/r.git" + listPath, "no redirect may be followed"},
	} {
		target, err := url.Parse(c.to)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.g.checkRedirect(Remote{URL: c.from, User: "jack", Password: "s3cr3t-p4ss"}, target, reason)
		if err != nil {
			if got = err.Error(); !errors.Is(err, reason) {
				t.Errorf("from %s to %s: git's words are lost: %v", c.from, c.to, err)
			}
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("from %s to %s: %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

// TestRedirectOfAFetch: a redirect that begins between the list and the fetch is followed.
func TestRedirectOfAFetch(t *testing.T) {
	root := t.TempDir()
	id := origin.New(t, filepath.Join(root, "r.git")).Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	server.Require("jack", "s3cr3t-p4ss")
	g := New(Options{})
	repo := g.Repo(filepath.Join(t.TempDir(), "mirror"))
	if err := repo.Init(t.Context(), 40, ""); err != nil {
		t.Fatal(err)
	}
	remote := Remote{URL: server.URL + "/old/r", User: "jack", Password: "s3cr3t-p4ss"}
	server.Be(origin.MovedTo("/old/r/", "/r.git/"))
	if _, err := repo.Fetch(t.Context(), remote, []string{id}, FetchMode{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Commit(t.Context(), id); err != nil {
		t.Error(err)
	}
}

func TestAnswered(t *testing.T) {
	const web, ssh = "http://h/ssl/certificate.git", "git@h:r.git"
	for _, c := range []struct {
		url, stderr string
		want        bool
	}{
		{web, "fatal: unable to access 'http://h/ssl/certificate.git/': The requested URL returned error: 400", true},
		{web, "fatal: repository 'http://h/ssl/certificate.git/' not found", true},
		{web, "fatal: unable to access 'http://h/ssl/certificate.git/': Empty reply from server", true},
		{web, "fatal: unable to access 'http://h/x/': The requested URL returned error: 403", false},
		{web, "fatal: unable to access 'http://h/x/': The requested URL returned error: 301", false},
		{web, "fatal: unable to access 'http://h/x/': Could not resolve host: h", false},
		{web, "fatal: unable to access 'http://h/x/': Failed to connect to h port 80 after 0 ms: Couldn't connect to server", false},
		{web, "fatal: unable to access 'https://h/x/': server certificate verification failed. CAfile: none CRLfile: none", false},
		{web, "fatal: Authentication failed for 'http://h/x/'", false},
		{web, "fatal: Out of memory, malloc failed", false},
		{"git://h/r.git", "fatal: remote error: access denied or repository not exported: /r.git", true},
		{"git://h/r.git", "fatal: unable to connect to h:\nh[0: 127.0.0.1]: errno=Connection refused", false},
		{ssh, "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", false},
		{ssh, "fatal: Could not read from remote repository.", false},
		{ssh, "fatal: remote error: version 2 only", true},
	} {
		if got := (Remote{URL: c.url}).answered(&Error{Stderr: c.stderr}); got != c.want {
			t.Errorf("%s: %v of %q", c.url, got, c.stderr)
		}
	}
}

func TestMovedText(t *testing.T) {
	id := strings.Repeat("ab", 20)
	for text, want := range map[string]bool{
		"fatal: remote error: upload-pack: not our ref " + id:                          true,
		"fatal: remote error: want " + id + " not valid":                               true,
		"error: Server does not allow request for unadvertised object " + id:           true,
		"fatal: remote error: TF401035: The object '" + id + "' does not exist.":       true,
		"remote: what you want is not valid":                                           false,
		"fatal: remote error: TF401019: The Git repository with name x does not exist": false,
	} {
		if got := movedText.MatchString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
