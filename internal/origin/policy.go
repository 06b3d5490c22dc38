package origin

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Pattern says which origins may be mirrored: all of a host, or all below a URL.
type Pattern struct {
	raw   string // as the configuration says it
	whole bool   // the host counts, and the port if there is one, and nothing else
	place
}

// place is an origin taken apart, so that places can be compared piece by piece: as
// strings, https://git.in.local.evil.com begins with https://git.in.local.
type place struct {
	scheme string // in git's terms, or "file"
	user   string // of ssh; empty in a pattern for any
	host   string
	port   string
	path   string // decoded; of user@host:path it may be relative to that user's home
}

var (
	errNoPlace = errors.New("is none of host, host:port, the beginning of a URL (https://host/team/), user@host:path, /path")
	// errCrooked is for a path that its server may read as another one.
	errCrooked = errors.New("its path has a step up or an encoded slash in it, and may lead anywhere")
)

// ParsePattern reads an element of origins. The error does not repeat what may
// hold a password.
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
	return Pattern{raw: raw, whole: true, place: place{host: strings.ToLower(u.Hostname()), port: u.Port()}}, nil
}

func (p Pattern) String() string { return p.raw }

func (p Pattern) Same(other Pattern) bool {
	return p.whole == other.whole && p.place == other.place
}

// parsePlace takes a URL, user@host:path or local path apart, all of it or its
// beginning.
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
	path, err := straight(u.EscapedPath())
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
	path, err := straight(path)
	return place{"ssh", user, host, defaultPorts["ssh"], path}, err
}

// straight decodes a path, and refuses one that leads elsewhere than it seems to, for
// whoever may decode it once more than others.
func straight(path string) (decoded string, err error) {
	for round := 0; ; round++ {
		if lower := strings.ToLower(path); strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") ||
			strings.Contains(lower, `\`) || strings.ContainsFunc(path, isControl) {
			return "", errCrooked
		}
		for step := range strings.SplitSeq(path, "/") {
			step, _, _ = strings.Cut(step, ";") // some servers drop what follows
			if step = strings.TrimSpace(step); step == "." || step == ".." {
				return "", errCrooked
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

// allows reports whether the pattern covers an origin.
func (p Pattern) allows(o place) bool {
	if p.whole {
		return p.host == o.host && (p.port == "" || p.port == o.port)
	}
	return p.scheme == o.scheme && p.host == o.host && p.port == o.port && (p.user == "" || p.user == o.user) &&
		below(o.path, strings.TrimRight(p.path, "/"))
}

// below reports whether a path is another one or lies below it. Below the root is
// everything, what is relative to a home included.
func below(path, top string) bool {
	return top == "" || path == top || strings.HasPrefix(path, top+"/")
}

// Policy says which origins a server reads.
type Policy struct {
	Local    bool      // also those that are local paths
	Patterns []Pattern // one of them must allow it; none for any
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
		if pattern.allows(where) {
			return nil
		}
	}
	return fmt.Errorf("the origin %s is none of those that this server may mirror: its configuration (origins) does not name it", o)
}

// CheckURL is Check for a URL that an origin redirects to.
func (p Policy) CheckURL(url string) error {
	o, err := Parse(url, false)
	if err != nil {
		return err
	}
	return p.Check(o)
}
