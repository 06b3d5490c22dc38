package origin

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// Place is where a repository is, without how one gets there. It is equal for all URLs by which a
// forge calls one repository: these differ in scheme, user, port, letter case of the host, and in
// slashes and ".git" at the end. It is comparable; the zero value is no place.
type Place struct {
	Host string // in lower case; empty for a local path
	Path string // without slashes at its ends, and without ".git"
}

// sshHosts are names of hosts that forges have for ssh on the port of https, each with the name that
// all other URLs have. The forges' documentation of "SSH over the HTTPS port" names them.
var sshHosts = map[string]string{
	"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com", "altssh.bitbucket.org": "bitbucket.org",
}

// Place returns where the origin is.
func (o URL) Place() Place {
	if o.local {
		return Place{Path: trimPath(o.url)}
	}
	_, rest, isURL := strings.Cut(o.key, "://")
	var host, path string
	if end := strings.IndexByte(rest, ']'); isURL && end >= 0 && rest[0] == '[' { // an IPv6 address
		host, path = rest[1:end], rest[end+1:]
		path = path[max(strings.IndexByte(path, '/'), 0):]
	} else if isURL {
		host, path, _ = strings.Cut(rest, "/")
		host, _, _ = strings.Cut(host, ":")
	} else if end := strings.Index(o.key, "]:"); end >= 0 {
		host, path = o.key[1:end], o.key[end+2:]
	} else {
		host, path, _ = strings.Cut(o.key, ":")
	}
	if other, ok := sshHosts[host]; ok {
		host = other
	}
	if strings.Contains(path, "%") {
		if plain, err := url.PathUnescape(path); err == nil {
			path = plain
		}
	}
	return Place{host, trimPath(path)}
}

func trimPath(path string) string {
	return strings.Trim(strings.TrimSuffix(strings.TrimRight(path, "/"), ".git"), "/")
}

// Fold returns the place with a path in lower case, for forges to which letter case does not matter.
func (p Place) Fold() Place { return Place{p.Host, strings.ToLower(p.Path)} }

// Renamed returns the origin after its repository was renamed from one path to another, by the forge
// on which both are: scheme, host, port, user and credentials stay what they are.
func (o URL) Renamed(from, to string) (URL, error) {
	rest := strings.TrimRight(o.url, "/")
	end := ""
	if strings.HasSuffix(rest, ".git") {
		rest, end = strings.TrimSuffix(rest, ".git"), ".git"
	}
	at := len(rest) - len(from)
	if at <= 0 || from == "" || !strings.EqualFold(rest[at:], from) || rest[at-1] != '/' && rest[at-1] != ':' {
		return URL{}, errors.New("the origin is not at the path that was renamed")
	}
	renamed, err := Parse(rest[:at]+to+end, o.local)
	if err != nil {
		return URL{}, err
	}
	leaves := slices.ContainsFunc(strings.Split(to, "/"), func(part string) bool { return part == "." || part == ".." })
	if leaves || renamed.Host() != o.Host() || renamed.Place() != (Place{o.Place().Host, to}) {
		return URL{}, errors.New("the origin's new path is no path of a repository")
	}
	return renamed.As(o.user, o.password), nil
}
