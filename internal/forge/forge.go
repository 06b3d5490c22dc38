// Package forge lists the repositories of a forge: of groups, of users, or all that it shows.
//
// It has a small client for each of the APIs of GitHub, GitLab, Gitea and Forgejo, and Bitbucket Data
// Center, and reads plain lists and the manifests of grokmirror. A listing is whole or it is an error:
// who compares it with an earlier one may take what is missing for gone. What a forge answers is read
// within bounds, and pages that have not changed since the last listing are not sent again (ETag).
package forge

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/reconquest/sould/internal/access"
)

// Kind says what a forge speaks.
type Kind string

// The kinds of forges.
const (
	GitHub     Kind = "github"     // also GitHub Enterprise Server
	GitLab     Kind = "gitlab"     //
	Gitea      Kind = "gitea"      //
	Forgejo    Kind = "forgejo"    // speaks as Gitea does
	Bitbucket  Kind = "bitbucket"  // Data Center, not the cloud
	List       Kind = "list"       // a text with a clone URL a line
	Grokmirror Kind = "grokmirror" // manifest.js.gz, as of kernel.org
)

// Kinds are all kinds, in the order in which people are told of them.
var Kinds = []Kind{GitHub, GitLab, Gitea, Forgejo, Bitbucket, List, Grokmirror}

// ParseKind parses the name of a kind.
func ParseKind(s string) (Kind, error) {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		if names[i] = string(k); names[i] == s {
			return k, nil
		}
	}
	return "", fmt.Errorf("%q is none of %s", s, strings.Join(names, ", "))
}

// HasOwners reports whether repositories of this kind belong to groups and users.
func (k Kind) HasOwners() bool { return k != List && k != Grokmirror }

// Source says what to list, and where.
type Source struct {
	Kind   Kind
	URL    string        // of the forge, or of the list; empty for the kind's default
	Token  access.Secret // empty for none
	Groups []string      // organisations, groups with those below them, or projects: what the forge calls so
	Users  []string
	Site   string // of grokmirror: where the repositories are; empty for the directory of its manifest
	All    bool   // all that the forge shows to the token; for GitHub all that the token was given access to
}

// defaultURLs are the places of forges that have one.
var defaultURLs = map[Kind]string{GitHub: "https://api.github.com", GitLab: "https://gitlab.com"}

// Base returns where the forge is, without a slash at the end.
func (s Source) Base() string { return strings.TrimRight(cmp.Or(s.URL, defaultURLs[s.Kind]), "/") }

// Host is the name of the forge as people know it, without a port.
func (s Source) Host() string {
	u, err := url.Parse(s.Base())
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	if host == "api.github.com" {
		host = "github.com"
	}
	return host
}

// Check returns what is wrong with a source, or nil.
func (s Source) Check() error {
	u, err := url.Parse(s.Base())
	switch {
	case s.Base() == "":
		return fmt.Errorf("url is missing: %s has no default", s.Kind)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("url must be http://… or https://…")
	case u.User != nil:
		return errors.New("url has a user or a password in it: write the token into a file, and name that in token_file")
	case u.Fragment != "" || s.Kind.HasOwners() && u.RawQuery != "":
		return errors.New("url has a query or a fragment, which it does not need")
	case !s.Kind.HasOwners() && (len(s.Groups) > 0 || len(s.Users) > 0 || s.All):
		return fmt.Errorf("groups, users and all mean nothing for %s, which is mirrored as a whole: choose by include and exclude", s.Kind)
	case s.Kind.HasOwners() && len(s.Groups) == 0 && len(s.Users) == 0 && !s.All:
		return errors.New("it says nothing that is to be mirrored: name groups or users, or write all = true")
	case s.All && len(s.Groups)+len(s.Users) > 0:
		return errors.New("all is true, and groups or users are named as well: leave one of them out")
	}
	if s.Site != "" {
		site, err := url.Parse(s.Site)
		if s.Kind != Grokmirror || err != nil || site.Host == "" || site.User != nil || site.RawQuery != "" || site.Fragment != "" {
			return errors.New("site is for grokmirror, and a URL such as https://git.kernel.org")
		}
	}
	for _, owner := range append(append([]string(nil), s.Groups...), s.Users...) {
		if !isPath(owner) {
			return fmt.Errorf("%q is not the name of a group or a user", owner)
		}
	}
	return nil
}

// String names a source for people, such as "github.com/acme".
func (s Source) String() string {
	owners := strings.Join(append(append([]string(nil), s.Groups...), s.Users...), ",")
	if owners == "" {
		return s.Host()
	}
	return s.Host() + "/" + owners
}

// Repo is a repository as a forge tells of it.
type Repo struct {
	ID       string `json:"id"`   // the forge's, which a renamed repository keeps; the path where there is none
	Path     string `json:"path"` // in full, such as "acme/tools/make", without ".git"
	HTTP     string `json:"http,omitempty"`
	SSH      string `json:"ssh,omitempty"` // clone URLs; empty if there is none
	Archived bool   `json:"archived,omitempty"`
	Fork     bool   `json:"fork,omitempty"`
}

// size is how many bytes the words of a repository have.
func (r Repo) size() int { return len(r.ID) + len(r.Path) + len(r.HTTP) + len(r.SSH) }

// maxPath is the longest path of a repository, in bytes.
const maxPath = 1000

// maxCloneURL is the longest URL of a repository, in bytes.
const maxCloneURL = 4096

// check returns why a repository cannot be what a forge means, or nil. The listing is no good then. A path that is
// only odd, such as one with a space in it, is the business of who makes a name of it.
func (r Repo) check() error {
	switch {
	case r.ID == "" || len(r.ID) > maxPath:
		return errors.New("a repository has no id")
	case !isWhole(r.Path):
		return fmt.Errorf("the path of a repository is %.100q", r.Path)
	case len(r.HTTP) > maxCloneURL || len(r.SSH) > maxCloneURL:
		return fmt.Errorf("the clone URL of %.100q is too long", r.Path)
	}
	return nil
}

// isPath reports whether a word may be the path of an owner.
func isPath(s string) bool {
	return isWhole(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`?#%\`, r) })
}

// isWhole reports whether a word is a path at all, and no part of one.
func isWhole(s string) bool {
	return s != "" && len(s) <= maxPath && utf8.ValidString(s) && s[0] != '/' && s[len(s)-1] != '/' && !strings.ContainsFunc(s, unicode.IsControl)
}

// api is what differs between forges.
type api struct {
	first     func(s Source) []string // URLs of the first pages: one for each owner, or one for all
	perPage   int                     // how many repositories a page has that is not the last; 0 for no pages
	types     []string                // content types of its answers; empty for any but HTML
	authorize func(h http.Header, token string)
	// parse reads the answer to a URL. next is the URL of the next page, or empty.
	parse func(s Source, at *url.URL, h http.Header, body []byte) (repos []Repo, next string, err error)
}

var apis = map[Kind]*api{
	GitHub: &github, GitLab: &gitlab, Gitea: &gitea, Forgejo: &gitea,
	Bitbucket: &bitbucket, List: &plainList, Grokmirror: &manifest,
}

// owned are the URLs of the first pages for each group and each user, or the one for all. An owner's
// slash is escaped: GitLab takes the path of a group as one part.
func (s Source) owned(group, user, all string) (urls []string) {
	if s.All {
		return []string{s.Base() + all}
	}
	for _, g := range s.Groups {
		urls = append(urls, s.Base()+fmt.Sprintf(group, url.PathEscape(g)))
	}
	for _, u := range s.Users {
		urls = append(urls, s.Base()+fmt.Sprintf(user, url.PathEscape(u)))
	}
	return urls
}

func bearer(h http.Header, token string) { h.Set("Authorization", "Bearer "+token) }
