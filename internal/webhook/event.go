package webhook

import (
	"net/http"
	"strings"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/origin"
)

// Effect is what an event means for a mirror.
type Effect int

const (
	Nothing Effect = iota // it is none of a mirror's business, but comes with events that are
	Ping                  // somebody tries whether deliveries arrive
	Changed               // refs or the default branch are others now
	Created               // the repository is new
	Renamed               // the repository is elsewhere now, on the same forge
	Deleted               // the repository is no more
)

// Event is what a forge says of a repository. The zero value is an event without a meaning.
type Event struct {
	Effect     Effect
	Name       string         // the forge's word for it, fit to be shown
	Repository string         // a URL of it without credentials, for people; empty if the event has none
	At         []origin.Place // where the repository is, in all of its spellings; empty if the event has none
	Formers    []origin.Place // of a renamed repository: where it was, for each of At; zero where nobody knows
}

// repositoryURLs are the fields that hold URLs of a repository: those of GitHub, Gitea and Forgejo, which
// others take over, and those of GitLab, of its projects and of what it calls a repository.
var (
	repositoryURLs = []string{"repository.clone_url", "repository.ssh_url", "repository.html_url", "repository.git_url"}
	projectURLs    = []string{
		"project.git_http_url", "project.git_ssh_url", "project.web_url", "project.http_url", "project.ssh_url",
		"repository.git_http_url", "repository.git_ssh_url", "repository.url", "repository.homepage",
	}
)

// wanted are the fields of each forge's payloads that are read.
var wanted = map[Forge]map[string]bool{
	GitHub:  gitHubFields,
	Gitea:   gitHubFields,
	Forgejo: gitHubFields,
	GitLab:  set(projectURLs, "object_kind", "event_name", "path_with_namespace", "old_path_with_namespace"),
	Bitbucket: set(nil, "repository.full_name", "repository.links.html.href", "changes.full_name.old", "previous_owner.username",
		"previous_owner.nickname", "repository.links.clone.href", "repository.links.self.href", "repository.project.key", "repository.slug",
		"new.links.clone.href", "new.links.self.href", "new.project.key", "new.slug", "old.project.key", "old.slug"),
	Generic: set(repositoryURLs, "event", "origin", "former", "id"),
}

var gitHubFields = set(repositoryURLs, "action", "repository.full_name", "changes.repository.name.from",
	"changes.owner.from.user.login", "changes.owner.from.organization.login", "changes.default_branch.from")

func set(more []string, paths ...string) map[string]bool {
	all := make(map[string]bool)
	for _, path := range append(paths, more...) {
		all[path] = true
	}
	return all
}

// event reads what a delivery says. The error is an *Error.
func (h Hook) event(header http.Header, found fields) (e Event, err error) {
	switch h.Forge {
	case GitLab:
		e, err = gitLabEvent(header, found, h.URL)
	case Bitbucket:
		e, err = bitbucketEvent(header.Get("X-Event-Key"), found, h.URL)
	case Generic:
		e, err = genericEvent(found)
	default:
		e, err = gitHubEvent(eventOf(header), found)
	}
	e.Name = errtext.Word(e.Name, maxID)
	if err == nil && e.Effect >= Changed && len(e.At) == 0 {
		err = fail(Malformed, "the payload of %s names no URL of a repository%s", e.Name, adviceOnURL[h.Forge])
	}
	return e, err
}

// adviceOnURL is how payloads without URLs are understood.
var adviceOnURL = map[Forge]string{
	GitLab:    "; set url = \"https://<GitLab>\" for this hook",
	Bitbucket: "; set url = \"https://<Bitbucket>\" for this hook",
	Generic:   " in the field origin",
}

// unheard is the error of an event that no mirror needs.
func unheard(name, instead string) error {
	if name == "" {
		return fail(Malformed, "the delivery does not say which event it tells of")
	}
	return fail(Unheard, "the event %s changes no mirror: let the forge send only %s", errtext.Word(name, maxID), instead)
}

// at adds what URLs say of where a repository is. What is no URL of a repository is left out.
func (e *Event) at(urls ...string) {
	for _, raw := range urls {
		url, err := origin.Parse(raw, true)
		if err != nil {
			continue
		}
		if e.Repository == "" {
			e.Repository = url.String()
		}
		e.addPlace(url.Place())
	}
}

func (e *Event) addPlace(p origin.Place) {
	for _, known := range e.At {
		if known == p {
			return
		}
	}
	e.At = append(e.At, p)
}

// below adds where a repository is whose URLs a payload does not name: at a path below a forge's own URL
// by http, and by ssh at another one of the same host.
func (e *Event) below(base, httpPath, sshPath string) {
	e.at(strings.TrimRight(base, "/") + "/" + httpPath + ".git")
	if len(e.At) > 0 {
		e.addPlace(origin.Place{Host: e.At[0].Host, Path: sshPath})
	}
}

// rename makes the event that of a renamed repository. now and before are its paths on the forge.
func (e *Event) rename(now, before string) {
	e.Effect = Renamed
	for _, place := range e.At {
		former := origin.Place{}
		if at := len(place.Path) - len(now); at >= 0 && now != "" && before != "" && strings.EqualFold(place.Path[at:], now) {
			former = origin.Place{Host: place.Host, Path: place.Path[:at] + before}
		}
		e.Formers = append(e.Formers, former)
	}
}

// eventOf is the name of an event of GitHub, Gitea or Forgejo.
func eventOf(header http.Header) string {
	for _, name := range []string{"X-Forgejo-Event", "X-Gitea-Event", "X-Github-Event"} {
		if value := header.Get(name); value != "" {
			return value
		}
	}
	return ""
}

// gitHubEvent reads an event of GitHub (docs.github.com, "Webhook events and payloads"), or one of Gitea
// or Forgejo, which have the same form and fewer kinds.
func gitHubEvent(name string, found fields) (Event, error) {
	e := Event{Name: name}
	e.at(found.all(repositoryURLs...)...)
	switch name {
	case "ping":
		e.Effect = Ping
	case "push", "create", "delete":
		e.Effect = Changed
	case "repository":
		e.repositoryEvent(found)
	default:
		return e, unheard(name, "push, create, delete and repository")
	}
	return e, nil
}

// repositoryEvent reads what GitHub says of a repository as a whole.
func (e *Event) repositoryEvent(found fields) {
	action := found.first("action")
	e.Name += " " + action
	owner, name, isPath := strings.Cut(found.first("repository.full_name"), "/")
	switch action {
	case "created":
		e.Effect = Created
	case "deleted":
		e.Effect = Deleted
	case "renamed":
		if before := found.first("changes.repository.name.from"); isPath && before != "" {
			e.rename(owner+"/"+name, owner+"/"+before)
		}
	case "transferred":
		if before := found.first("changes.owner.from.user.login", "changes.owner.from.organization.login"); isPath && before != "" {
			e.rename(owner+"/"+name, before+"/"+name)
		}
	case "edited":
		if found.first("changes.default_branch.from") != "" {
			e.Effect = Changed
		}
	}
}

// gitLabEvent reads an event of a project's or a group's webhook, or of a system hook (docs.gitlab.com,
// "Webhook events" and "System hooks"). What tells of a project as a whole names no URL, but the instance.
func gitLabEvent(header http.Header, found fields, url string) (Event, error) {
	e := Event{Name: found.first("event_name", "object_kind")}
	e.at(found.all(projectURLs...)...)
	path, base := found.first("path_with_namespace"), header.Get("X-Gitlab-Instance")
	if url != "" {
		base = url
	}
	if path != "" && base != "" {
		e.below(base, path, path)
	}
	switch e.Name {
	case "push", "tag_push", "repository_update", "project_update":
		e.Effect = Changed
	case "project_create":
		e.Effect = Created
	case "project_destroy":
		e.Effect = Deleted
	case "project_rename", "project_transfer":
		e.rename(path, found.first("old_path_with_namespace"))
	default:
		if header.Get("X-Gitlab-Event") != "System Hook" || e.Name == "" { // which cannot be told what to leave out
			return e, unheard(e.Name, "push and tag push events")
		}
	}
	return e, nil
}

// bitbucketPing is the event that Data Center sends for a test.
const bitbucketPing = "diagnostics:ping"

// bitbucketEvent reads an event of Bitbucket Cloud (support.atlassian.com, "Event payloads") or Data
// Center (confluence.atlassian.com, "Event payload").
func bitbucketEvent(name string, found fields, url string) (Event, error) {
	e := Event{Name: name}
	switch name {
	case bitbucketPing:
		e.Effect = Ping
		return e, nil
	case "repo:refs_changed", "mirror:repo_synchronized":
		e.Effect = Changed
		e.atDataCenter(found, "repository", url)
		return e, nil
	case "repo:modified":
		e.atDataCenter(found, "new", url)
		if now, before := dataCenterPath(found, "new"), dataCenterPath(found, "old"); now != before && before != "" {
			e.rename(now, before)
		}
		return e, nil
	}
	e.at(found.all("repository.links.html.href")...)
	path := found.first("repository.full_name")
	_, slug, _ := strings.Cut(path, "/")
	switch name {
	case "repo:push":
		e.Effect = Changed
	case "repo:created":
		e.Effect = Created
	case "repo:deleted":
		e.Effect = Deleted
	case "repo:updated":
		e.Effect = Changed
		if before := found.first("changes.full_name.old"); before != "" && before != path {
			e.rename(path, before)
		}
	case "repo:transfer":
		if owner := found.first("previous_owner.username", "previous_owner.nickname"); owner != "" {
			e.rename(path, owner+"/"+slug)
		}
	default:
		return e, unheard(name, "repository push, updated, transferred and deleted")
	}
	return e, nil
}

// atDataCenter adds where a repository of Bitbucket Data Center is, which is described below a field.
// Older releases name no URL to clone from; the page of the repository, or the hook, tells the server then.
func (e *Event) atDataCenter(found fields, field, url string) {
	e.at(found.all(field + ".links.clone.href")...)
	path := dataCenterPath(found, field)
	base := url
	if page := found.first(field + ".links.self.href"); base == "" {
		base, _, _ = strings.Cut(page, "/projects/")
		base, _, _ = strings.Cut(base, "/users/")
	}
	if path != "" && base != "" && len(e.At) == 0 {
		e.below(base, "scm/"+path, path)
	}
}

// dataCenterPath is the path of a repository in URLs to clone from; empty if it is not known.
func dataCenterPath(found fields, field string) string {
	project, slug := found.first(field+".project.key"), found.first(field+".slug")
	if project == "" || slug == "" {
		return ""
	}
	return strings.ToLower(project) + "/" + slug
}

// genericEvent reads an event that a program of one's own tells: docs/webhooks.md says how.
func genericEvent(found fields) (Event, error) {
	e := Event{Name: found.first("event")}
	e.at(found.all(append([]string{"origin"}, repositoryURLs...)...)...)
	switch e.Name {
	case "", "push":
		e.Name, e.Effect = "push", Changed
	case "ping":
		e.Effect = Ping
	case "create":
		e.Effect = Created
	case "delete":
		e.Effect = Deleted
	case "rename":
		e.Effect = Renamed
		for _, place := range e.At {
			e.Formers = append(e.Formers, formerOf(place, found.all("former")))
		}
	default:
		return e, unheard(e.Name, "push, create, rename, delete or ping in the field event")
	}
	return e, nil
}

// formerOf is where a repository was of which former URLs are told, on the host where it is now.
func formerOf(now origin.Place, formers []string) origin.Place {
	for _, raw := range formers {
		if url, err := origin.Parse(raw, true); err == nil && url.Place().Host == now.Host {
			return url.Place()
		}
	}
	return origin.Place{}
}
