package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	fake "github.com/reconquest/sould/tests/forge"
)

// list lists what a fake forge has of an owner, or all.
func list(t *testing.T, f *fake.Forge, s Source, known []Page) (Listing, error) {
	t.Helper()
	s.URL = f.URL
	client, err := NewClient("")
	if err != nil {
		t.Fatal(err)
	}
	return client.List(context.Background(), s, known)
}

// TestKinds lists more than a page from each kind of forge, and again when nothing has changed.
func TestKinds(t *testing.T) {
	const n = 1234
	for kind, pages := range map[Kind]int{GitHub: 13, GitLab: 13, Gitea: 25, Forgejo: 25, Bitbucket: 2} {
		for _, s := range []Source{{Groups: []string{"acme"}}, {Users: []string{"acme"}}, {All: true}} {
			s.Kind, s.Token = kind, "a-token-of-the-forge"
			speaks := kind
			if kind == Forgejo {
				speaks = Gitea
			}
			f := fake.Serve(t, string(speaks), fake.Many("acme", n)...)
			f.Token = string(s.Token)
			f.Repos[3].Archived, f.Repos[4].Fork = true, true
			got, err := list(t, f, s, nil)
			if err != nil || len(got.Repos) != n || got.Requests != pages {
				t.Errorf("%s: %d repositories by %d requests, %v", s.Kind, len(got.Repos), got.Requests, err)
				continue
			}
			want := Repo{"5", "acme/repo-00005", "https://forge.example/acme/repo-00005.git", "git@forge.example:acme/repo-00005.git", false, true}
			if got.Repos[4] != want || !got.Repos[3].Archived || got.Repos[5].Archived || got.Repos[5].Fork {
				t.Errorf("%s: %+v", s.Kind, got.Repos[3:6])
			}
			again, err := list(t, f, s, got.Pages)
			if err != nil || !slices.Equal(again.Repos, got.Repos) || again.Same != pages && kind != Bitbucket {
				t.Errorf("%s: again %d repositories, %d of %d pages the same, %v", s.Kind, len(again.Repos), again.Same, again.Requests, err)
			}
		}
	}
}

func TestLists(t *testing.T) {
	for _, kind := range []Kind{List, Grokmirror} {
		f := fake.Serve(t, string(kind), fake.Many("pub/scm", 3)...)
		got, err := list(t, f, Source{Kind: kind}, nil)
		if err != nil || len(got.Repos) != 3 {
			t.Fatalf("%s: %+v, %v", kind, got, err)
		}
		slices.SortFunc(got.Repos, func(a, b Repo) int { return cmp.Compare(a.Path, b.Path) })
		want := "https://forge.example/pub/scm/repo-00001.git"
		if kind == Grokmirror {
			want = strings.TrimSuffix(f.URL, "manifest.js.gz") + "pub/scm/repo-00001.git"
		}
		if r := got.Repos[0]; r.Path != "pub/scm/repo-00001" || r.HTTP != want {
			t.Errorf("%s: %+v", kind, r)
		}
		if again, err := list(t, f, Source{Kind: kind}, got.Pages); err != nil || again.Same != 1 {
			t.Errorf("%s again: %+v, %v", kind, again, err)
		}
	}
}

// TestInstallation: the token of a GitHub App is no user's.
func TestInstallation(t *testing.T) {
	f := fake.Serve(t, "github", fake.Many("acme", 234)...)
	f.Token = "ghs_a-token-of-the-forge"
	s := Source{Kind: GitHub, Token: "ghs_a-token-of-the-forge", All: true}
	for _, all := range []bool{true, false} {
		if s.All = all; !all {
			s.Groups = []string{"acme"}
		}
		if got, err := list(t, f, s, nil); err != nil || len(got.Repos) != 234 || got.Requests != 3 {
			t.Errorf("%d repositories by %d requests, %v", len(got.Repos), got.Requests, err)
		}
	}
}

// TestOtherName: a forge that calls itself otherwise than those who ask it is asked by their name.
func TestOtherName(t *testing.T) {
	for _, kind := range []Kind{GitHub, GitLab, Gitea} {
		f := fake.Serve(t, string(kind), fake.Many("acme", 234)...)
		within, err := url.Parse(f.URL)
		if err != nil {
			t.Fatal(err)
		}
		var asked atomic.Int64
		front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			asked.Add(1)
			r.SetURL(within)
			r.Out.Host = "git.example"
		}})
		f.URL = front.URL
		got, err := list(t, f, Source{Kind: kind, Groups: []string{"acme"}}, nil)
		if err != nil || len(got.Repos) != 234 || int(asked.Load()) != got.Requests {
			t.Errorf("%s: %d repositories by %d of %d requests, %v", kind, len(got.Repos), asked.Load(), got.Requests, err)
		}
		front.Close()
	}
}

// TestSamePath: of two repositories with one path, a listing has both, so that it is told why one is not mirrored.
func TestSamePath(t *testing.T) {
	f := fake.Serve(t, "list", fake.Many("acme", 4)...)
	f.Repos[1].Clone = "https://other.example/acme/repo-00001"
	f.Repos[3].Clone = f.Repos[2].Clone
	got, err := list(t, f, Source{Kind: List}, nil)
	var ids []string
	for _, r := range got.Repos {
		ids = append(ids, r.ID+" "+r.Path)
	}
	want := "acme/repo-00001 acme/repo-00001, https://other.example/acme/repo-00001 acme/repo-00001, acme/repo-00003 acme/repo-00003"
	if err != nil || strings.Join(ids, ", ") != want {
		t.Errorf("%q, %v", ids, err)
	}
}

func TestSameServer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://h/a", "https://H:443/b?c", true},
		{"http://h:80/a", "http://h/b", true},
		{"https://h/a", "http://h/a", false},
		{"https://h/a", "https://h:8443/a", false},
		{"https://h.evil/a", "https://h/a", false},
		{"https://h@evil/a", "https://h/a", false},
		{"https://user@h/a", "https://h/a", false},
		{"//evil/a", "https://h/a", false},
	} {
		a, err := url.Parse(c.a)
		b, err2 := url.Parse(c.b)
		if err != nil || err2 != nil || sameServer(a, b) != c.want {
			t.Errorf("%s and %s: %v %v", c.a, c.b, err, err2)
		}
	}
}

// TestOddLines: what is no clone URL spoils a list, and its words are shown without a password. A path that is only odd
// does not.
func TestOddLines(t *testing.T) {
	f := fake.Serve(t, "list", fake.Many("acme", 2)...)
	f.Repos[0].Clone = "https://forge.example/acme/two%20words.git"
	if got, err := list(t, f, Source{Kind: List}, nil); err != nil || len(got.Repos) != 2 || got.Repos[0].Path != "acme/two words" {
		t.Errorf("%+v, %v", got.Repos, err)
	}
	f.Change(func(f *fake.Forge) {
		f.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, "\ufeffhttps://forge.example/acme/one\r\n# an editor of Windows\r\n")
			return true
		}
	})
	if got, err := list(t, f, Source{Kind: List}, nil); err != nil || len(got.Repos) != 1 || got.Repos[0].HTTP != "https://forge.example/acme/one" {
		t.Errorf("%+v, %v", got.Repos, err)
	}
	f.Change(func(f *fake.Forge) { f.Fault, f.Repos[0].Clone = nil, "https://jack:s3cret@forge.example" })
	_, err := list(t, f, Source{Kind: List}, nil)
	if err == nil || !strings.Contains(err.Error(), "@forge.example\" is not a clone URL") || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

// TestLongWords: what a forge says is bounded as a whole, however few repositories it has.
func TestLongWords(t *testing.T) {
	all := fake.Many("acme", maxListing/maxCloneURL+1)
	for i := range all {
		all[i].Clone += strings.Repeat("x", maxCloneURL-len(all[i].Clone))
	}
	f := fake.Serve(t, "bitbucket", all...)
	if got, err := list(t, f, Source{Kind: Bitbucket, All: true}, nil); !errors.Is(err, errTooBig) || got.Repos != nil {
		t.Errorf("%d repositories, %v", len(got.Repos), err)
	}
}

// TestFullLastPage adds a repository behind a last page that was full, and whose ETag stays.
func TestFullLastPage(t *testing.T) {
	f := fake.Serve(t, "github", fake.Many("acme", 200)...)
	s := Source{Kind: GitHub, Groups: []string{"acme"}}
	first, err := list(t, f, s, nil)
	if err != nil || len(first.Repos) != 200 || first.Requests != 2 {
		t.Fatalf("%d by %d, %v", len(first.Repos), first.Requests, err)
	}
	f.Change(func(f *fake.Forge) { f.Repos = fake.Many("acme", 201) })
	if second, err := list(t, f, s, first.Pages); err != nil || len(second.Repos) != 201 || second.Same != 1 {
		t.Errorf("%d, %d pages the same, %v", len(second.Repos), second.Same, err)
	}
}

// TestFaults shows a listing what forges answer when something is wrong: it never returns a part.
func TestFaults(t *testing.T) {
	answer := func(status int, kind, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("page") != "2" {
				return false
			}
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	for name, c := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		want  string
	}{
		"login page": {answer(200, "text/html; charset=utf-8", "<html>log in"), "is that a page to log in?"},
		"half":       {answer(200, "application/json", `[{"id": 7, "full_na`), "unexpected end"},
		"no list":    {answer(200, "application/json", `{"message": "hello"}`), "not a list"},
		"null":       {answer(200, "application/json", `null`), "not a list"},
		"no id":      {answer(200, "application/json", `[{"full_name": "a/b"}]`), "has no id"},
		"odd path":   {answer(200, "application/json", `[{"id": 1, "full_name": "a/b\u0000"}]`), "the path of a repository"},
		"5xx":        {answer(503, "text/plain", "come later"), "it answers 503"},
		"gone":       {answer(404, "application/json", `{"message": "no such organisation"}`), "no such organisation"},
		"a secret":   {answer(401, "application/json", `{"message": "bad token a-token-of-the-forge"}`), "bad token ***"},
		"many":       {answer(200, "application/json", "["+strings.Repeat("{},", maxItems+1)+"{}]"), "more than 10000 elements"},
		"too long":   {answer(200, "application/json", "["+strings.Repeat(" ", maxAnswer)+"]"), "more than 33554432 bytes"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://localhost:1/", http.StatusFound)
			return true
		}, "redirects to another server"},
		"long next": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Link", "<"+r.URL.Path+"?page="+strings.Repeat("2", maxNext)+">; rel=next")
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "[]")
			return true
		}, "the URL of the next page of its list has more than"},
		"circle": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Link", "<"+r.URL.String()+">; rel=next")
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "[]")
			return true
		}, "lead in a circle"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fake.Serve(t, "github", fake.Many("acme", 150)...)
			s := Source{Kind: GitHub, Groups: []string{"acme"}, Token: "a-token-of-the-forge"}
			whole, err := list(t, f, s, nil)
			if err != nil {
				t.Fatal(err)
			}
			f.Change(func(f *fake.Forge) { f.Fault = c.fault })
			got, err := list(t, f, s, whole.Pages)
			if err == nil || got.Repos != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d repositories, %v; want %q", len(got.Repos), err, c.want)
			}
			f.Change(func(f *fake.Forge) { f.Fault = nil })
			if again, err := list(t, f, s, got.Pages); err != nil || len(again.Repos) != 150 || again.Same != 2 && name != "circle" && name != "long next" {
				t.Errorf("afterwards: %d, %d pages the same, %v", len(again.Repos), again.Same, err)
			}
		})
	}
}

// TestToken sees that no other server gets the token.
func TestToken(t *testing.T) {
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer other.Close()
	for _, kind := range []Kind{GitHub, GitLab} {
		for name, fault := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
			"redirect": func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
				return true
			},
			"next page": func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Link", "<"+other.URL+`>; rel="next"`)
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, "[]")
				return true
			},
		} {
			f := fake.Serve(t, string(kind))
			f.Fault = fault
			if _, err := list(t, f, Source{Kind: kind, All: true, Token: "secret-secret-secret"}, nil); err == nil || asked != 0 {
				t.Errorf("%s, %s: the other server was asked %d times, %v", kind, name, asked, err)
			}
		}
	}
}

// TestRateLimits waits for a short pause, and does not wait for a long one, nor asks in it.
func TestRateLimits(t *testing.T) {
	f := fake.Serve(t, "github", fake.Many("acme", 250)...)
	s := Source{Kind: GitHub, Groups: []string{"acme"}}
	refused := false
	f.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if refused || r.URL.Query().Get("page") != "2" {
			return false
		}
		refused = true
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	if got, err := list(t, f, s, nil); err != nil || len(got.Repos) != 250 || got.Requests != 4 {
		t.Errorf("a short pause: %d by %d requests, %v", len(got.Repos), got.Requests, err)
	}
	f.Change(func(f *fake.Forge) { f.Fault, f.Left = nil, 2 })
	f.Asked()
	got, err := list(t, f, s, nil)
	limited := (*Limited)(nil)
	if !errors.As(err, &limited) || limited.For < 50*time.Minute || limited.For > time.Hour || len(f.Asked()) != 2 || len(got.Pages) != 2 {
		t.Errorf("a long pause: %v, %d pages", err, len(got.Pages))
	}
	f.Change(func(f *fake.Forge) { f.Left = -1 })
	if got, err = list(t, f, s, got.Pages); err != nil || len(got.Repos) != 250 || got.Same != 2 {
		t.Errorf("afterwards: %d, %d pages the same, %v", len(got.Repos), got.Same, err)
	}
}

func TestPause(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		status int
		header map[string]string
		want   time.Duration
	}{
		{200, nil, 0},
		{403, nil, 0}, // it is forbidden, and not only now
		{404, map[string]string{"Retry-After": "9"}, 0},
		{429, nil, time.Minute},
		{429, map[string]string{"Retry-After": "9"}, 9 * time.Second},
		{403, map[string]string{"Retry-After": "9"}, 9 * time.Second},
		{503, map[string]string{"Retry-After": now.Add(time.Minute).UTC().Format(http.TimeFormat)}, time.Minute},
		{503, map[string]string{"X-RateLimit-Remaining": "0"}, 0},
		{429, map[string]string{"Retry-After": "-9"}, time.Minute},
		{429, map[string]string{"Retry-After": "99999999"}, MaxPause},
		{200, map[string]string{"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "1700000300"}, 0},
		{200, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000300"}, 5 * time.Minute},
		{403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1600000000"}, time.Second}, // a clock was set
		{403, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "30"}, 30 * time.Second},
		{403, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "soon"}, time.Minute},
		{403, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "-9223372036854775808"}, time.Minute},
	} {
		header := make(http.Header)
		for k, v := range c.header {
			header.Set(k, v)
		}
		if got := pause(c.status, header, now); got != c.want {
			t.Errorf("%d %v: %s, want %s", c.status, c.header, got, c.want)
		}
	}
}

// TestLargeOrganisation counts the requests for one of 5,000 repositories.
func TestLargeOrganisation(t *testing.T) {
	f := fake.Serve(t, "github", fake.Many("acme", 5000)...)
	s := Source{Kind: GitHub, Groups: []string{"acme"}}
	got, err := list(t, f, s, nil)
	if err != nil || len(got.Repos) != 5000 || got.Requests > 60 {
		t.Fatalf("%d by %d requests, %v", len(got.Repos), got.Requests, err)
	}
	f.Change(func(f *fake.Forge) { f.Repos[1234].Archived = true })
	again, err := list(t, f, s, got.Pages)
	if sent := again.Requests - again.Same; err != nil || !again.Repos[1234].Archived || sent != 2 { // that page, and the last, which is full
		t.Errorf("%d pages were sent again, %v", sent, err)
	}
}
