package protocol

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/origin"
)

// Address is the address of another sould server in the configuration.
type Address struct {
	name string // as the configuration writes it
	url  string // scheme and authority
}

// ParseAddress reads host (port 80), host:port or http(s)://host[:port].
func ParseAddress(raw string) (Address, error) {
	s := raw
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", !origin.IsHost(strings.ToLower(u.Hostname())),
		!origin.IsPort(u.Port()), strings.HasSuffix(u.Host, ":"):
		return Address{}, fmt.Errorf("%q is not the address of a server; write host, host:port or http(s)://host[:port]", git.Redact(raw))
	case u.User != nil:
		return Address{}, errors.New("a server's address takes no user and password")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return Address{}, fmt.Errorf("%q has a path; a sould server is the root of its address", raw)
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return Address{name: raw, url: u.Scheme + "://" + host}, nil
}

// Same reports whether two addresses lead to the same scheme, host and port.
func (a Address) Same(b Address) bool { return a.url == b.url }

// URL is the server's scheme and authority, without a slash at the end.
func (a Address) URL() string { return a.url }

func (a Address) String() string { return a.name }
