package credential

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// server is a place that credentials are for, as "https://github.com:443".
type server string

// parseServer reads a server as the configuration names it: "host" or "host:port" for https, or with
// "https://" or "http://" before it. Plain http has to be named, so that no credentials are sent in
// clear text because an origin says so.
func parseServer(s string) (server, error) {
	whole := s
	if !strings.Contains(s, "://") {
		whole = "https://" + s
	}
	u, err := url.Parse(whole)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery ||
		u.Fragment != "" || strings.HasSuffix(u.Host, ":") || strings.ContainsAny(s, "#*% ") {
		return "", errors.New(`must be a host or host:port, such as "github.com", or begin with http:// for a server without TLS`)
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("only https:// and http:// servers are asked with these credentials")
	}
	return serverOf(u), nil
}

// serverOf is the server of an http or https URL.
func serverOf(u *url.URL) server {
	port := u.Port()
	switch {
	case port != "":
	case strings.EqualFold(u.Scheme, "https"):
		port = "443"
	default:
		port = "80"
	}
	return server(strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Hostname()) + ":" + port)
}

// CheckServers returns an error if two names of servers mean the same one.
func CheckServers(commands map[string]string) error {
	names := make(map[server]string)
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		at, err := parseServer(name)
		if other, known := names[at]; err == nil && known {
			return fmt.Errorf("%q and %q are the same server: keep one of the two", other, name)
		}
		names[at] = name
	}
	return nil
}

// CheckCommand returns an error if a server and its command cannot be those of the configuration.
func CheckCommand(name, command string) error {
	if _, err := parseServer(name); err != nil {
		return err
	}
	if strings.TrimSpace(command) == "" {
		return errors.New("has no command: write one, or remove the line")
	}
	if strings.ContainsAny(command, "\x00\r\n") {
		return errors.New("the command must be one line")
	}
	return nil
}
