// Package forge serves the APIs of forges as their public documentation describes them: with pages,
// ETags and rate limits. It keeps repositories only as names; what is cloned is served elsewhere.
package forge

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// T is the part of a test, or of a benchmark, that is needed.
type T interface {
	Helper()
	Cleanup(func())
}

// Repo is a repository of a forge.
type Repo struct {
	ID             int64
	Path           string // "owner/name"; GitLab's may have more parts
	Clone, SSH     string // URLs
	Archived, Fork bool
}

// Asked is a request that a forge has answered.
type Asked struct {
	URL    string // path and query
	Status int
	Header http.Header // of the request
}

// Forge is a forge that runs. Its fields may be changed in the function given to Change.
type Forge struct {
	URL   string
	Repos []Repo
	Token string // without which it answers 401; empty for none
	Left  int    // requests until the rate limit is reached; negative for no limit
	Reset time.Duration
	// Fault may answer a request in the place of the forge; then it returns true. It may be nil.
	Fault func(w http.ResponseWriter, r *http.Request) bool

	kind  string
	mu    sync.Mutex
	asked []Asked
}

// Serve starts a forge of a kind: github, gitlab, gitea, bitbucket, list or grokmirror.
func Serve(t T, kind string, repos ...Repo) *Forge {
	t.Helper()
	f := &Forge{Repos: repos, Left: -1, Reset: time.Hour, kind: kind}
	server := httptest.NewServer(f)
	f.URL = server.URL
	switch kind {
	case "list":
		f.URL += "/repos.txt"
	case "grokmirror":
		f.URL += "/manifest.js.gz"
	}
	t.Cleanup(server.Close)
	return f
}

// Many returns n repositories of an owner.
func Many(owner string, n int) []Repo {
	repos := make([]Repo, n)
	for i := range repos {
		path := fmt.Sprintf("%s/repo-%05d", owner, i+1)
		repos[i] = Repo{ID: int64(i + 1), Path: path, Clone: "https://forge.example/" + path + ".git", SSH: "git@forge.example:" + path + ".git"}
	}
	return repos
}

// Change changes a forge between two requests.
func (f *Forge) Change(change func(f *Forge)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// Asked returns the requests since it was called last.
func (f *Forge) Asked() []Asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// ServeHTTP answers one request.
func (f *Forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	counted := &counter{ResponseWriter: w, status: http.StatusOK}
	f.answer(counted, r)
	f.asked = append(f.asked, Asked{r.URL.String(), counted.status, r.Header.Clone()})
}

type counter struct {
	http.ResponseWriter
	status int
}

func (c *counter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (f *Forge) answer(w http.ResponseWriter, r *http.Request) {
	if f.Fault != nil && f.Fault(w, r) {
		return
	}
	if f.Token != "" && !f.isAuthorized(r) {
		refuse(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	if f.Left == 0 {
		f.limit(w.Header())
		refuse(w, http.StatusForbidden, "API rate limit exceeded")
		return
	}
	body, kind, err := f.page(w.Header(), r)
	if err != nil {
		refuse(w, http.StatusNotFound, err.Error())
		return
	}
	etag := fmt.Sprintf(`W/"%x"`, sha256.Sum256(body))
	w.Header().Set("Etag", etag)
	w.Header().Set("Content-Type", kind)
	if r.Header.Get("If-None-Match") == etag && f.kind != "bitbucket" { // costs nothing
		f.limit(w.Header())
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if f.Left > 0 {
		f.Left--
	}
	f.limit(w.Header())
	_, _ = w.Write(body)
}

// limit tells how many requests are left, in the forge's words.
func (f *Forge) limit(h http.Header) {
	if f.Left < 0 {
		return
	}
	prefix := "X-RateLimit-"
	if f.kind == "gitlab" {
		prefix = "RateLimit-"
	}
	h.Set(prefix+"Limit", "5000")
	h.Set(prefix+"Remaining", strconv.Itoa(f.Left))
	h.Set(prefix+"Reset", strconv.FormatInt(time.Now().Add(f.Reset).Unix(), 10))
}

func (f *Forge) isAuthorized(r *http.Request) bool {
	switch f.kind {
	case "gitlab":
		return r.Header.Get("PRIVATE-TOKEN") == f.Token
	case "gitea":
		return r.Header.Get("Authorization") == "token "+f.Token
	default:
		return r.Header.Get("Authorization") == "Bearer "+f.Token
	}
}

var errNotFound = errors.New("there is no such owner")

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"message": message})
}

// page is the answer to a request that is permitted.
func (f *Forge) page(h http.Header, r *http.Request) (body []byte, kind string, err error) {
	switch f.kind {
	case "list":
		text := "# what there is\n\n"
		for _, repo := range f.Repos {
			text += repo.Clone + "\n"
		}
		return []byte(text), "text/plain; charset=utf-8", nil
	case "grokmirror":
		return f.manifest(), "application/gzip", nil
	}
	if f.kind == "github" && strings.HasPrefix(f.Token, "ghs_") != (r.URL.Path == installed) && !strings.HasPrefix(r.URL.Path, "/orgs/") {
		return nil, "", errors.New("resource not accessible by integration")
	}
	owner, found := f.owner(r.URL.EscapedPath())
	if !found {
		return nil, "", errNotFound
	}
	var of []Repo
	for _, repo := range f.Repos {
		active := f.kind == "bitbucket" && owner == "" && r.URL.Query().Get("archived") != "ALL"
		if (owner == "" || strings.HasPrefix(repo.Path, owner+"/")) && !(active && repo.Archived) {
			of = append(of, repo)
		}
	}
	if owner != "" && of == nil {
		return nil, "", errNotFound
	}
	body, err = json.Marshal(f.document(h, r, of))
	return body, "application/json; charset=utf-8", err
}

// paths are where repositories are listed: of an owner, or of all.
var paths = map[string]struct {
	owned []string
	all   string
}{
	"github":    {[]string{"/orgs/*/repos", "/users/*/repos"}, "/user/repos"},
	"gitlab":    {[]string{"/api/v4/groups/*/projects", "/api/v4/users/*/projects"}, "/api/v4/projects"},
	"gitea":     {[]string{"/api/v1/orgs/*/repos", "/api/v1/users/*/repos"}, "/api/v1/repos/search"},
	"bitbucket": {[]string{"/rest/api/1.0/projects/*/repos", "/rest/api/1.0/users/*/repos"}, "/rest/api/1.0/repos"},
}

// installed is where GitHub lists what a GitHub App may read.
const installed = "/installation/repositories"

// owner is whose repositories a path means; empty for all.
func (f *Forge) owner(path string) (owner string, found bool) {
	known := paths[f.kind]
	for _, pattern := range known.owned {
		before, after, _ := strings.Cut(pattern, "*")
		rest, ok := strings.CutPrefix(path, before)
		part, ok2 := strings.CutSuffix(rest, after)
		if owner, err := url.PathUnescape(part); ok && ok2 && err == nil && !strings.Contains(part, "/") {
			return owner, true
		}
	}
	return "", path == known.all || f.kind == "github" && path == installed
}

// document is one page of repositories, with a link to the next one.
func (f *Forge) document(h http.Header, r *http.Request, of []Repo) any {
	q := r.URL.Query()
	if f.kind == "bitbucket" {
		start, limit := number(q.Get("start"), 0), min(number(q.Get("limit"), 25), 1000)
		start = min(start, len(of))
		end := min(start+limit, len(of))
		document := map[string]any{"size": end - start, "limit": limit, "start": start, "isLastPage": end == len(of), "values": f.repos(of[start:end])}
		if end < len(of) {
			document["nextPageStart"] = end
		}
		return document
	}
	size, name := 30, "per_page"
	if f.kind == "gitea" {
		name = "limit"
	}
	size = min(number(q.Get(name), size), map[string]int{"github": 100, "gitlab": 100, "gitea": 50}[f.kind])
	start := (max(number(q.Get("page"), 1), 1) - 1) * size
	if after := number(q.Get("id_after"), 0); q.Get("pagination") == "keyset" {
		for start = 0; start < len(of) && of[start].ID <= int64(after); start++ {
		}
	}
	start = min(start, len(of))
	end := min(start+size, len(of))
	if end < len(of) {
		if q.Get("pagination") == "keyset" {
			q.Set("id_after", strconv.FormatInt(of[end-1].ID, 10))
		} else {
			q.Set("page", strconv.Itoa(end/size+1))
		}
		next := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: q.Encode()}
		h.Set("Link", fmt.Sprintf(`<%s>; rel="next", <http://%s/last>; rel="last"`, next.String(), r.Host))
	}
	list := f.repos(of[start:end])
	if r.URL.Path == installed {
		return map[string]any{"total_count": len(of), "repositories": list}
	}
	if strings.HasSuffix(r.URL.Path, "/search") {
		return map[string]any{"ok": true, "data": list}
	}
	return list
}

// repos are repositories in the forge's words.
func (f *Forge) repos(of []Repo) []map[string]any {
	list := []map[string]any{}
	for _, repo := range of {
		owner, name := repo.Path[:strings.LastIndexByte(repo.Path, '/')], repo.Path[strings.LastIndexByte(repo.Path, '/')+1:]
		one := map[string]any{"id": repo.ID, "name": name, "archived": repo.Archived}
		switch f.kind {
		case "gitlab":
			one["path_with_namespace"], one["http_url_to_repo"], one["ssh_url_to_repo"] = repo.Path, repo.Clone, repo.SSH
			if repo.Fork {
				one["forked_from_project"] = map[string]any{"id": 1}
			}
		case "bitbucket":
			one["slug"], one["project"] = name, map[string]any{"key": owner}
			one["links"] = map[string]any{"clone": []map[string]string{{"href": repo.SSH, "name": "ssh"}, {"href": repo.Clone, "name": "http"}}}
			if repo.Fork {
				one["origin"] = map[string]any{"id": 1}
			}
		default:
			one["full_name"], one["clone_url"], one["ssh_url"], one["fork"] = repo.Path, repo.Clone, repo.SSH, repo.Fork
			one["owner"] = map[string]any{"login": owner, "id": 7}
		}
		list = append(list, one)
	}
	return list
}

// manifest is what grok-manifest(1) writes.
func (f *Forge) manifest() []byte {
	all := make(map[string]any)
	for _, repo := range f.Repos {
		all["/"+repo.Path+".git"] = map[string]any{
			"owner": "nobody", "description": "of " + repo.Path, "reference": nil, "modified": 1500000000, "fingerprint": strings.Repeat("a", 40),
		}
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_ = json.NewEncoder(z).Encode(all)
	_ = z.Close()
	return b.Bytes()
}

func number(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return n
	}
	return otherwise
}
