package lsrefs

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// proxies are what the environment says of proxies, as git and its library read it (http.c, and
// curl's manual, "ENVIRONMENT"). net/http reads it in another way: it uses none for loopback, and
// takes HTTP_PROXY, which a client can set where a server makes variables of its headers.
type proxies struct {
	http, https string   // URLs; empty for none
	except      []string // hosts that are reached without one
}

// proxiesOf reads the variables. What is lower case counts more, also if it is empty.
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

// errProxy is why a URL is for git: versions of its library differ in what they make of it.
var errProxy = errors.New("whether a proxy is used, and how, is not plain")

// plainProxy is a proxy of HTTP itself. Without a port, git's library takes one that nobody else
// does.
var plainProxy = regexp.MustCompile(`^(http://)?([a-zA-Z0-9.-]+:[0-9]+)/?$`)

// proxyFor is the proxy for a URL, and nil for none. It is an error where that is not plain.
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

// plainHost is a name or an address of version 4 without anything that could be a pattern.
var plainHost = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*$`)

// covered reports whether a host is one of those that a word of no_proxy names, if every version
// of curl agrees: the name itself and what is below it.
func covered(word, host string) (covers, plain bool) {
	name, dotted := strings.CutPrefix(word, ".")
	if !plainHost.MatchString(name) || !plainHost.MatchString(host) {
		return false, false
	}
	below := strings.HasSuffix(host, "."+name)
	switch {
	case host == name:
		return true, !dotted
	case below && net.ParseIP(host) != nil: // the end of an address is no domain
		return false, false
	default:
		return below, true
	}
}
