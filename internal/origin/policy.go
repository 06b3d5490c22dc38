package origin

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// Pattern selects origins that may be mirrored: all on a host, or all below a URL.
type Pattern struct {
	raw      string // as in the configuration
	hostOnly bool   // it selects by host and, if it has one, by port
	place
}

// place is an origin in parts. Only parts can be compared: as a string,
// https://git.in.local.evil.com begins with https://git.in.local.
type place struct {
	scheme string // git's name for it, or "file"
	user   string // for ssh only; empty in a pattern for any user
	host   string
	port   string
	path   string // decoded; relative to the user's home in user@host:path, unless it begins with a slash
}

var (
	errNoPlace = errors.New("must be host, host:port, the beginning of a URL (https://host/team/), user@host:path or /path")
	// errAmbiguousPath is returned for a path that the origin's server may read as another one.
	errAmbiguousPath = errors.New("its path has a step up or an encoded slash in it, and may lead anywhere")
)

// ParsePattern parses an element of the key origins. The error does not repeat an element that
// may contain a password.
func ParsePattern(raw string) (Pattern, error) {
	p, err := parseOriginPattern(raw)
	if err != nil && strings.Contains(raw, "@") {
		return p, fmt.Errorf("the element with an @ %w", err)
	} else if err != nil {
		return p, fmt.Errorf("%q %w", raw, err)
	}
	return p, nil
}

func parseOriginPattern(raw string) (Pattern, error) {
	if strings.ContainsAny(raw, "/@") {
		where, err := parsePlace(raw)
		return Pattern{raw: raw, place: where}, err
	}
	host := raw
	if strings.Count(raw, ":") > 1 && raw[0] != '[' { // an IPv6 address
		host = "[" + raw + "]"
	}
	u, err := url.Parse("http://" + host)
	if err != nil || !IsHost(strings.ToLower(u.Hostname())) || !IsPort(u.Port()) || strings.HasSuffix(u.Host, ":") ||
		u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return Pattern{}, errNoPlace
	}
	return Pattern{raw: raw, hostOnly: true, place: place{host: strings.ToLower(u.Hostname()), port: u.Port()}}, nil
}

func (p Pattern) String() string { return p.raw }

// Same reports whether two patterns select the same origins.
func (p Pattern) Same(other Pattern) bool {
	return p.hostOnly == other.hostOnly && p.place == other.place
}

// parsePlace parses a URL, user@host:path or local path, or the beginning of one.
func parsePlace(raw string) (place, error) {
	switch {
	case filepath.IsAbs(raw):
		return place{scheme: "file", path: filepath.Clean(raw)}, nil
	case strings.Contains(raw, "://"):
		return parseURLPlace(raw)
	default:
		return parseSCPPlace(raw)
	}
}

func parseURLPlace(raw string) (place, error) {
	u, err := url.Parse(raw)
	if err != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return place{}, errNoPlace
	}
	if u.Scheme == "file" && u.Host == "" && filepath.IsAbs(u.Path) {
		return place{scheme: "file", path: filepath.Clean(u.Path)}, nil
	}
	scheme, host := schemes[u.Scheme], strings.ToLower(u.Hostname())
	if scheme == "" || !IsHost(host) || !IsPort(u.Port()) {
		return place{}, errNoPlace
	}
	if _, password := u.User.Password(); password || u.User != nil && scheme != "ssh" {
		return place{}, errors.New("names a user or a password, which means nothing here")
	}
	path, err := decodePath(u.EscapedPath())
	return place{scheme, u.User.Username(), host, cmp.Or(u.Port(), defaultPorts[scheme]), path}, err
}

func parseSCPPlace(raw string) (place, error) {
	user, rest, _ := strings.Cut(raw, "@")
	host, path, ok := strings.Cut(rest, ":")
	if strings.HasPrefix(rest, "[") { // an IPv6 address
		host, path, ok = strings.Cut(rest[1:], "]:")
	}
	host = strings.ToLower(host)
	if !ok || !legalUser(user) || !IsHost(host) {
		return place{}, errNoPlace
	}
	path, err := decodePath(path)
	return place{"ssh", user, host, defaultPorts["ssh"], path}, err
}

// decodePath decodes a path. It refuses a path that has another meaning for a server that
// decodes it more than once.
func decodePath(path string) (decoded string, err error) {
	for round := 0; ; round++ {
		if lower := strings.ToLower(path); strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") ||
			strings.Contains(lower, `\`) || strings.ContainsFunc(path, isControl) {
			return "", errAmbiguousPath
		}
		for step := range strings.SplitSeq(path, "/") {
			step, _, _ = strings.Cut(step, ";") // some servers ignore what follows it
			if step = strings.TrimSpace(step); step == "." || step == ".." {
				return "", errAmbiguousPath
			}
		}
		if round == 1 {
			decoded = path
		}
		next, err := url.PathUnescape(path)
		if err != nil || next == path {
			if round == 0 {
				decoded = path
			}
			return decoded, nil
		}
		path = next
	}
}

// selects reports whether the pattern selects an origin.
func (p Pattern) selects(o place) bool {
	if p.hostOnly {
		return p.host == o.host && (p.port == "" || p.port == o.port)
	}
	return p.scheme == o.scheme && p.host == o.host && p.port == o.port && (p.user == "" || p.user == o.user) &&
		isBelow(o.path, strings.TrimRight(p.path, "/"))
}

// isBelow reports whether a path is top or lies below it. Every path lies below an empty top,
// also a relative one.
func isBelow(path, top string) bool {
	return top == "" || path == top || strings.HasPrefix(path, top+"/")
}

// Policy says which origins a server may read.
type Policy struct {
	Local    bool      // local paths are allowed
	Patterns []Pattern // one of them must select the origin; with none, any origin is allowed
}

// Check returns why an origin may not be read, or nil.
func (p Policy) Check(o URL) error {
	if o.local && !p.Local {
		return fmt.Errorf("the origin %s is a local path, which only sould --unsecure reads", o)
	}
	if len(p.Patterns) == 0 {
		return nil
	}
	where, err := parsePlace(o.url)
	if err != nil {
		return fmt.Errorf("the origin %s is not for this server: %w", o, err)
	}
	for _, pattern := range p.Patterns {
		if pattern.selects(where) {
			return nil
		}
	}
	return fmt.Errorf("the origin %s is none of those that this server may mirror: its configuration (origins) does not name it", o)
}

// Reaches reports whether there may be an origin on the host of o that may be read.
func (p Policy) Reaches(o URL) bool {
	where, err := parsePlace(o.url)
	return err == nil && (len(p.Patterns) == 0 || slices.ContainsFunc(p.Patterns, func(pattern Pattern) bool {
		return pattern.host == where.host && (pattern.port == where.port || pattern.port == "") &&
			(pattern.hostOnly || pattern.scheme == where.scheme)
	}))
}

// CheckURL is Check for a URL that an origin redirects to.
func (p Policy) CheckURL(url string) error {
	o, err := Parse(url, false)
	if err != nil {
		return err
	}
	return p.Check(o)
}
