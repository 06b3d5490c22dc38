package access

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/reconquest/sould/internal/origin"
)

// Host is a name or an address by which clients may call this server.
type Host struct{ name string }

// ParseHost parses a host name or an address, with or without brackets.
func ParseHost(raw string) (Host, error) {
	h := Host{hostOf(raw)}
	bare := strings.TrimSuffix(strings.TrimPrefix(raw, "["), "]")
	if _, err := netip.ParseAddr(bare); err != nil && (strings.Contains(raw, ":") || !origin.IsHost(h.name)) {
		return Host{}, fmt.Errorf("%q is not a host; write a name or an address, without a port", raw)
	}
	return h, nil
}

func (h Host) String() string { return h.name }

// Same reports whether two hosts are equal.
func (h Host) Same(other Host) bool { return h == other }

// hostOf returns the host in a Host header, without its port, in a canonical spelling.
func hostOf(header string) string {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if a, err := netip.ParseAddr(host); err == nil {
		return a.String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// isAllowedHost reports whether a Host header names one of the allowed hosts. With none, every
// header is allowed.
func isAllowedHost(allowed []Host, header string) bool {
	if len(allowed) == 0 {
		return true
	}
	host := hostOf(header)
	for _, h := range allowed {
		if h.name == host {
			return true
		}
	}
	return false
}

// BaseURL is this server's URL as the client calls it; empty if the client's Host header is no host.
func BaseURL(r *http.Request) string {
	host, port := strings.ToLower(r.Host), ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if !origin.IsHost(host) || !origin.IsPort(port) {
		return ""
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return scheme + host
}

// ParseBaseURL parses the URL by which clients call this server: a scheme and an authority, which it
// returns in a canonical spelling, without a slash at the end. An empty one stays empty. The error does
// not repeat the URL, in which there may be a password.
func ParseBaseURL(raw string) (base string, err error) {
	if raw == "" {
		return "", nil
	}
	u, err := url.Parse(raw)
	switch {
	case strings.Contains(raw, "@"):
		return "", errors.New("it takes no user and password: everybody sees it")
	case strings.ContainsAny(raw, "?#"):
		return "", errors.New("it has a query or a fragment: links are made by putting a path behind it")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", !origin.IsHost(strings.ToLower(u.Hostname())),
		!origin.IsPort(u.Port()), strings.HasSuffix(u.Host, ":"):
		return "", errors.New("it is no absolute URL of a server: write https://host or https://host:port (or http)")
	case u.Path != "" && u.Path != "/":
		return "", errors.New("it has a path, but the links of the pages lead to the root of a host: give sould a host name of its own, and write https://host")
	}
	base = u.Scheme + "://" + strings.ToLower(u.Host)
	if port := u.Port(); port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		base = strings.TrimSuffix(base, ":"+port)
	}
	return base, nil
}

// IsAllowed reports whether clients that call this server by a base URL are answered, if these hosts
// are allowed.
func IsAllowed(allowed []Host, base string) bool {
	_, host, _ := strings.Cut(base, "://")
	return isAllowedHost(allowed, host)
}
