package lsrefs

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// proxies is what the environment says about proxies, as git and its library read it (http.c, and
// "ENVIRONMENT" in curl(1)). net/http reads it differently: it uses no proxy for loopback
// addresses, and it reads HTTP_PROXY.
type proxies struct {
	http, https string   // URLs; empty for none
	except      []string // the words of no_proxy
}

// proxiesOf reads the variables. A lower-case one takes precedence, even if it is empty.
func proxiesOf(getenv func(string) (string, bool)) (p proxies) {
	first := func(names ...string) (value string, set bool) {
		for _, name := range names {
			if value, set = getenv(name); set {
				return value, true
			}
		}
		return "", false
	}
	all, _ := first("all_proxy", "ALL_PROXY")
	var set bool
	if p.http, set = first("http_proxy"); !set {
		p.http = all
	}
	if p.https, set = first("https_proxy", "HTTPS_PROXY"); !set {
		p.https = all
	}
	except, _ := first("no_proxy", "NO_PROXY")
	p.except = strings.FieldsFunc(except, func(r rune) bool { return r == ',' || r == ' ' })
	return p
}

// errProxy is the error for what versions of git's library read differently, and for proxies that
// net/http cannot use like it.
var errProxy = errors.New("git may use another proxy")

// plainProxy matches an HTTP proxy without credentials. It needs a port, because the default of
// git's library is unusual.
var plainProxy = regexp.MustCompile(`^(http://)?([a-zA-Z0-9.-]+:[0-9]+)/?$`)

// proxyFor returns the proxy for a URL, or nil for none.
func (p proxies) proxyFor(u *url.URL) (*url.URL, error) {
	proxy := p.http
	if u.Scheme == "https" {
		proxy = p.https
	}
	if proxy == "" {
		return nil, nil
	}
	if len(p.except) == 1 && p.except[0] == "*" {
		return nil, nil
	}
	host := strings.ToLower(u.Hostname())
	for _, except := range p.except {
		if covers, plain := covered(strings.ToLower(except), host); !plain {
			return nil, errProxy
		} else if covers {
			return nil, nil
		}
	}
	found := plainProxy.FindStringSubmatch(proxy)
	if found == nil {
		return nil, errProxy
	}
	return &url.URL{Scheme: "http", Host: found[2]}, nil
}

// plainHost matches a name or an IPv4 address.
var plainHost = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*$`)

// covered reports whether a word of no_proxy names a host: the host itself or a domain of it. plain
// is false if versions of curl differ in that.
func covered(word, host string) (covers, plain bool) {
	name, dotted := strings.CutPrefix(word, ".")
	if !plainHost.MatchString(name) || !plainHost.MatchString(host) {
		return false, false
	}
	below := strings.HasSuffix(host, "."+name)
	switch {
	case host == name:
		return true, !dotted
	case below && net.ParseIP(host) != nil: // an address has no domain
		return false, false
	default:
		return below, true
	}
}
