package forge

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// jsonTypes are the content types of an API.
var jsonTypes = []string{"application/json"}

// github is GitHub's REST API: https://docs.github.com/en/rest/repos/repos and
// https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api. In the order of
// their creation, new repositories change the last page alone.
var github = api{
	perPage: 100,
	types:   jsonTypes,
	first: func(s Source) []string {
		const page = "per_page=100&sort=created&direction=asc"
		all := "/user/repos?" + page
		if strings.HasPrefix(string(s.Token), installation) { // which is no user's
			all = installed + "?per_page=100"
		}
		return s.owned("/orgs/%s/repos?type=all&"+page, "/users/%s/repos?type=owner&"+page, all)
	},
	authorize: bearer,
	parse: func(_ Source, at *url.URL, h http.Header, body []byte) ([]Repo, string, error) {
		var found struct {
			All items[apiRepo] `json:"repositories"` // of an installation
		}
		to := any(&found.All)
		if strings.HasSuffix(at.Path, installed) {
			to = &found
		}
		if err := json.Unmarshal(body, to); err != nil {
			return nil, "", err
		}
		if found.All == nil {
			return nil, "", errNoList
		}
		return reposOf(found.All, apiRepo.repo), nextLink(at, h), nil
	},
}

// The tokens of GitHub Apps that are installed somewhere begin with installation
// (https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github), and
// what they may read is listed at installed (https://docs.github.com/en/rest/apps/installations).
const (
	installation = "ghs_"
	installed    = "/installation/repositories"
)

// gitlab is GitLab's API: https://docs.gitlab.com/api/projects/, /api/groups/#list-projects, and
// /api/rest/#pagination. Only the list of all projects has pages by key.
var gitlab = api{
	perPage: 100,
	types:   jsonTypes,
	first: func(s Source) []string {
		const page = "per_page=100&order_by=id&sort=asc"
		return s.owned("/api/v4/groups/%s/projects?include_subgroups=true&with_shared=false&"+page,
			"/api/v4/users/%s/projects?"+page, "/api/v4/projects?pagination=keyset&"+page)
	},
	authorize: func(h http.Header, token string) { h.Set("PRIVATE-TOKEN", token) },
	parse: func(_ Source, at *url.URL, h http.Header, body []byte) ([]Repo, string, error) {
		var all items[struct {
			ID       int64           `json:"id"`
			Path     string          `json:"path_with_namespace"`
			HTTP     string          `json:"http_url_to_repo"`
			SSH      string          `json:"ssh_url_to_repo"`
			Archived bool            `json:"archived"`
			From     json.RawMessage `json:"forked_from_project"`
		}]
		if err := json.Unmarshal(body, &all); err != nil {
			return nil, "", err
		}
		repos := make([]Repo, len(all))
		for i, p := range all {
			repos[i] = Repo{number(p.ID), p.Path, p.HTTP, p.SSH, p.Archived, len(p.From) > 0 && string(p.From) != "null"}
		}
		return repos, nextLink(at, h), nil
	},
}

// gitea is the API of Gitea (https://docs.gitea.com/api/) and of Forgejo. A page has 50 repositories
// at most, unless the server's configuration says otherwise (MAX_RESPONSE_ITEMS).
var gitea = api{
	perPage: 50,
	types:   jsonTypes,
	first: func(s Source) []string {
		return s.owned("/api/v1/orgs/%s/repos?limit=50", "/api/v1/users/%s/repos?limit=50", "/api/v1/repos/search?limit=50&sort=id&order=asc")
	},
	authorize: func(h http.Header, token string) { h.Set("Authorization", "token "+token) },
	parse: func(_ Source, at *url.URL, h http.Header, body []byte) ([]Repo, string, error) {
		var found struct {
			Data items[apiRepo] `json:"data"` // of a search
		}
		to := any(&found.Data)
		if strings.HasSuffix(at.Path, "/search") {
			to = &found
		}
		if err := json.Unmarshal(body, to); err != nil {
			return nil, "", err
		}
		if found.Data == nil {
			return nil, "", errNoList
		}
		return reposOf(found.Data, apiRepo.repo), nextLink(at, h), nil
	},
}

// apiRepo is a repository as GitHub and Gitea tell of it.
type apiRepo struct {
	ID       int64  `json:"id"`
	Path     string `json:"full_name"`
	HTTP     string `json:"clone_url"`
	SSH      string `json:"ssh_url"`
	Archived bool   `json:"archived"`
	Fork     bool   `json:"fork"`
}

func (r apiRepo) repo() Repo {
	return Repo{number(r.ID), r.Path, r.HTTP, r.SSH, r.Archived, r.Fork}
}

// bitbucket is the REST API of Bitbucket Data Center:
// https://developer.atlassian.com/server/bitbucket/rest/. The next page is told by its first item.
var bitbucket = api{
	perPage: 1000,
	types:   jsonTypes,
	first: func(s Source) []string {
		const page = "repos?limit=1000"
		// All means those that are not archived, unless it is said (since 8.0); they would seem to be gone.
		return s.owned("/rest/api/1.0/projects/%s/"+page, "/rest/api/1.0/users/%s/"+page, "/rest/api/1.0/"+page+"&archived=ALL")
	},
	authorize: bearer,
	parse: func(_ Source, at *url.URL, _ http.Header, body []byte) ([]Repo, string, error) {
		var page struct {
			Values items[bitbucketRepo] `json:"values"`
			Last   *bool                `json:"isLastPage"`
			Next   *int64               `json:"nextPageStart"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, "", err
		}
		if page.Values == nil || page.Last == nil || !*page.Last && page.Next == nil {
			return nil, "", errNoList
		}
		next := ""
		if !*page.Last {
			to, query := *at, at.Query()
			query.Set("start", strconv.FormatInt(*page.Next, 10))
			to.RawQuery = query.Encode()
			next = to.String()
		}
		return reposOf(page.Values, bitbucketRepo.repo), next, nil
	},
}

// bitbucketRepo is a repository as Bitbucket tells of it.
type bitbucketRepo struct {
	ID      int64  `json:"id"`
	Slug    string `json:"slug"`
	Project struct {
		Key string `json:"key"`
	} `json:"project"`
	Archived bool `json:"archived"`
	Origin   *struct {
		ID int64 `json:"id"`
	} `json:"origin"` // what it is a fork of
	Links struct {
		Clone items[struct {
			Href string `json:"href"`
			Name string `json:"name"`
		}] `json:"clone"`
	} `json:"links"`
}

func (r bitbucketRepo) repo() Repo {
	repo := Repo{ID: number(r.ID), Archived: r.Archived, Fork: r.Origin != nil}
	if r.Project.Key != "" && r.Slug != "" {
		repo.Path = r.Project.Key + "/" + r.Slug
	}
	for _, link := range r.Links.Clone {
		switch link.Name {
		case "http", "https":
			repo.HTTP = cmp.Or(repo.HTTP, link.Href)
		case "ssh":
			repo.SSH = cmp.Or(repo.SSH, link.Href)
		}
	}
	return repo
}

func reposOf[T any](all []T, repo func(T) Repo) []Repo {
	repos := make([]Repo, len(all))
	for i, one := range all {
		repos[i] = repo(one)
	}
	return repos
}

// number is the id of a repository; "" for none.
func number(id int64) string {
	if id <= 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}
