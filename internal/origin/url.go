// Package origin parses clone URLs: it refuses those that are not safe to pass to git,
// separates their credentials, tells whether two URLs mean one origin, and decides which
// origins a server may read.
package origin

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/reconquest/sould/internal/git"
)

// URL is the clone URL of an origin, safe to pass to git, with its credentials. Only Parse
// makes one; the zero value is no origin.
type URL struct {
	url            string // canonical, in git's form; the user of an ssh URL is part of it
	key            string // equal for all spellings of one origin
	local          bool   // it is a path or a file URL
	user, password string // for http and https only
}

var (
	// schemes are the allowed schemes, each with git's name for it.
	schemes = map[string]string{"http": "http", "https": "https", "ssh": "ssh", "git+ssh": "ssh", "ssh+git": "ssh", "git": "git"}
	// defaultPorts are left out of an origin's URL and key.
	defaultPorts = map[string]string{"http": "80", "https": "443", "ssh": "22", "git": "9418"}
)

// maxOrigin is the length of the longest clone URL, in bytes.
const maxOrigin = 4096

// Parse parses a clone URL. It refuses local paths and file URLs unless allowLocal is set. The
// error never repeats the URL, which may contain a password.
func Parse(raw string, allowLocal bool) (URL, error) {
	if raw == "" {
		return URL{}, errors.New("the origin is empty")
	}
	if len(raw) > maxOrigin {
		return URL{}, fmt.Errorf("the origin has %d bytes; %d at most", len(raw), maxOrigin)
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return git.Unprintable(r) || r == '\\' || r == utf8.RuneError }) {
		return URL{}, errors.New("the origin contains a backslash, or a character that cannot be shown")
	}
	scheme, _, isURL := strings.Cut(raw, "://")
	local := filepath.IsAbs(raw) || isURL && strings.EqualFold(scheme, "file")
	switch {
	case !local && strings.Contains(raw, " "):
		return URL{}, errors.New("the origin contains a space")
	case local:
		o, err := parseLocal(raw)
		if err == nil && !allowLocal {
			return URL{}, errors.New("the origin is a local path, which only sould --unsecure takes")
		}
		return o, err
	case isURL && schemes[strings.ToLower(scheme)] != "":
		return parseURL(raw)
	case isURL && strings.ContainsFunc(scheme, func(r rune) bool { return !schemeRune(r) }): // perhaps a password
		return URL{}, errors.New("the origin is not a well-formed URL")
	case isURL:
		return URL{}, fmt.Errorf("the origin's scheme %.20q is unknown; use https, http, ssh, git+ssh, ssh+git or git", scheme)
	default:
		return parseSCP(raw)
	}
}

// errBadHost does not repeat the host, which may contain a password.
var errBadHost = errors.New("the origin's host name is not valid")

func parseLocal(raw string) (URL, error) {
	path := raw
	if !filepath.IsAbs(raw) {
		var err error
		if path, err = url.PathUnescape(raw[len("file://"):]); err != nil || strings.ContainsFunc(path, git.Unprintable) {
			return URL{}, errors.New("the origin is not a well-formed URL")
		}
		if !filepath.IsAbs(path) {
			return URL{}, errors.New("the origin is a file URL of another host; file:///path is allowed")
		}
	}
	path = filepath.Clean(path)
	return URL{url: path, key: "file://" + path, local: true}, nil
}

func parseURL(raw string) (URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return URL{}, errors.New("the origin is not a well-formed URL")
	}
	scheme := schemes[strings.ToLower(u.Scheme)]
	host, port, path := strings.ToLower(u.Hostname()), u.Port(), u.EscapedPath()
	switch {
	case !IsHost(host):
		return URL{}, errBadHost
	case u.User == nil && strings.Contains(path, "@"):
		return URL{}, errors.New("the origin has an @ in its path: in a user name or a password a slash is written %2F, and elsewhere an @ is %40")
	case !IsPort(port):
		return URL{}, errors.New("the origin's port is not between 1 and 65535")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return URL{}, errors.New("the origin has a query or a fragment, which no clone URL needs")
	case path == "" || path == "/":
		return URL{}, errors.New("the origin names a host, but no repository on it")
	case strings.HasPrefix(path, "/-"):
		return URL{}, errors.New("the origin's path begins with a dash")
	}
	o := URL{}
	place := host
	if strings.Contains(host, ":") {
		place = "[" + host + "]"
	}
	if port != "" && port != defaultPorts[scheme] {
		place += ":" + port
	}
	o.key = scheme + "://" + place + strings.TrimRight(path, "/")
	o.url = scheme + "://" + place + path
	if u.User == nil {
		return o, nil
	}
	user, password := u.User.Username(), ""
	if p, ok := u.User.Password(); ok {
		password = p
	}
	switch scheme {
	case "http", "https":
		if strings.ContainsAny(user, ":") {
			return URL{}, errors.New("the origin's user name contains a colon")
		}
		if strings.ContainsFunc(user+password, isControl) {
			return URL{}, errors.New("the origin's credentials contain a control character")
		}
		o.user, o.password = user, password
	case "ssh": // ssh takes no password from a URL
		if !legalUser(user) {
			return URL{}, errors.New("the origin's user name is not valid")
		}
		o.url = scheme + "://" + user + "@" + place + path
	}
	return o, nil
}

// parseSCP parses ssh's short form user@host:path.
func parseSCP(raw string) (URL, error) {
	user, rest, ok := strings.Cut(raw, "@")
	host, path, ok2 := strings.Cut(rest, ":")
	if strings.HasPrefix(rest, "[") { // an IPv6 address
		end := strings.Index(rest, "]:")
		if end < 0 {
			return URL{}, errors.New("the origin must begin with https://, http://, ssh:// or git://, or be user@host:path")
		}
		host, path = rest[1:end], rest[end+2:]
	}
	host = strings.ToLower(host)
	switch {
	case !ok || !ok2 || strings.HasPrefix(path, ":"): // such as "ext::…" and "--upload-pack=…"
		return URL{}, errors.New("the origin must begin with https://, http://, ssh:// or git://, or be user@host:path")
	case !legalUser(user):
		return URL{}, errors.New("the origin's user name is not valid")
	case !IsHost(host):
		return URL{}, errBadHost
	case strings.Trim(path, "/") == "":
		return URL{}, errors.New("the origin names a host, but no repository on it")
	case strings.HasPrefix(path, "-"):
		return URL{}, errors.New("the origin's path begins with a dash")
	}
	place := host
	if strings.Contains(host, ":") {
		place = "[" + host + "]"
	}
	key := place + ":" + strings.TrimRight(path, "/")
	if strings.HasPrefix(path, "/") { // the same as ssh://host/path
		key = "ssh://" + place + strings.TrimRight(path, "/")
	}
	return URL{url: user + "@" + place + ":" + path, key: key}, nil
}

// IsHost reports whether host is a name or an address in lower case, and nothing else: no
// option of ssh, no escaped character, no zone of an IPv6 address.
func IsHost(host string) bool {
	if host == "" || len(host) > 255 || host[0] == '-' || host[0] == '.' {
		return false
	}
	for _, r := range host {
		if !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune(".-_:", r)) {
			return false
		}
	}
	return true
}

// IsPort reports whether port is a number from 1 to 65535, or empty.
func IsPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

func legalUser(user string) bool {
	if user == "" || user[0] == '-' {
		return false
	}
	for _, r := range user {
		if !userRune(r) {
			return false
		}
	}
	return true
}

// schemeRune reports whether a scheme may contain the character (RFC 3986, 3.1).
func schemeRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("+-.", r)
}

// userRune reports whether a user name may contain the character.
func userRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-+~@", r)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// String returns the origin without credentials, for people and for git.
func (o URL) String() string { return o.url }

// Same reports whether two URLs mean one origin. They may differ in user and password, in a
// default port, and in slashes at the end.
func (o URL) Same(other URL) bool { return o.key == other.key }

// IsLocal reports whether the origin is a local path or a file URL.
func (o URL) IsLocal() bool { return o.local }

// Known reports whether there is an origin.
func (o URL) Known() bool { return o.url != "" }

// Host returns the scheme and the host with its port. Origins with the same Host are all
// reachable, or none of them.
func (o URL) Host() string {
	scheme, rest, isURL := strings.Cut(o.key, "://")
	if !isURL {
		scheme, rest = "ssh", strings.Replace(o.key, ":", "/", 1)
	}
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// WithCredentials returns the URL with its credentials, as a client would send it.
func (o URL) WithCredentials() string {
	if o.user == "" && o.password == "" {
		return o.url
	}
	scheme, rest, _ := strings.Cut(o.url, "://")
	return scheme + "://" + url.UserPassword(o.user, o.password).String() + "@" + rest
}

// Credentials returns the credentials; both are empty if there are none.
func (o URL) Credentials() (user, password string) { return o.user, o.password }

// As returns the origin with other credentials.
func (o URL) As(user, password string) URL {
	o.user, o.password = user, password
	return o
}

// OrCredentialsOf returns the origin with the credentials of other, if it has none itself and
// both are the same origin.
func (o URL) OrCredentialsOf(other URL) URL {
	if o.user == "" && o.password == "" && o.Same(other) {
		o.user, o.password = other.user, other.password
	}
	return o
}

// Remote returns the origin in the form that internal/git uses.
func (o URL) Remote() git.Remote {
	return git.Remote{URL: o.url, User: o.user, Password: o.password}
}
