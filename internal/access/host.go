package access

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
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
