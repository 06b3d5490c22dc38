package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/reconquest/sould/internal/origin"
)

// secret is a word that no output may show, however it gets there.
type secret string

// String is what is shown instead.
func (s secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString and MarshalText are the same for %#v and for encoders.
func (s secret) GoString() string { return s.String() }

func (s secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// is compares in a time that says nothing about the secret, its length included. No
// word is the empty secret.
func (s secret) is(word string) bool {
	a, b := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(word))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && s != ""
}

// need is what a request must be permitted to do.
type need int

const (
	needNothing need = iota // it tells nobody anything
	needRead
	needCommand
)

// needOf tells what a request needs. What is not known to be harmless is a command.
func needOf(method, path string) need {
	switch {
	case method == http.MethodGet, method == http.MethodHead:
		if path == "/x/health" {
			return needNothing
		}
		return needRead
	case method == http.MethodPost && strings.HasSuffix(path, "/git-upload-pack"): // a clone
		return needRead
	default:
		return needCommand
	}
}

// challenges are the values of WWW-Authenticate. Only reading takes a password: a
// browser sends one that it knows with each request, also with those that another
// site made it send.
var challenges = map[need]string{
	needRead:    `Basic realm="sould"`,
	needCommand: "Bearer",
}

// permit decides whether a request may go on: it must mean this server, and bring the
// token that it needs, if the configuration wants one.
func permit(set *settings, what need, host string, header http.Header) error {
	if !isAllowedHost(set.AllowHosts, host) {
		return fail(kindMisdirected, "this server is not called %.100q: its configuration (allow_hosts) does not name it", host)
	}
	if set.Token == "" && set.ReadToken == "" {
		return nil
	}
	word, bearer := credential(header)
	mayCommand, mayRead := set.Token.is(word), set.ReadToken.is(word)
	switch {
	case what == needCommand && set.Token != "":
		switch {
		case mayCommand && bearer:
			return nil
		case word == "" || !bearer:
			return fail(kindUnauthorized, "this needs the server's token, in a header: Authorization: Bearer <token>")
		case mayRead:
			return fail(kindUnauthorized, "this token is for reading only")
		}
		return fail(kindUnauthorized, "this is not the server's token")
	case what == needRead && set.ReadToken != "" && !mayRead && !mayCommand:
		if word == "" {
			return fail(kindUnauthorized,
				"reading needs a token, as the password of basic authentication or in a header: Authorization: Bearer <token>")
		}
		return fail(kindUnauthorized, "this is not a token of this server")
	}
	return nil
}

// credential returns the token that a request brings: after "Bearer", or as the
// password of basic authentication, whoever the user is.
func credential(header http.Header) (word string, bearer bool) {
	scheme, rest, _ := strings.Cut(header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest), true
	}
	_, word, _ = (&http.Request{Header: header}).BasicAuth()
	return word, false
}

// authorize lets a request to another server of the cluster bring the token that it
// needs there: that of this server, since a cluster has one. It is for servers that
// the configuration names, and nobody else.
func (set *settings) authorize(r *http.Request) {
	if token := set.tokenFor(needOf(r.Method, r.URL.Path)); token != "" {
		r.Header.Set("Authorization", "Bearer "+string(token))
	}
}

// tokenFor is what a request to another server of the cluster has to bring, or nothing.
func (set *settings) tokenFor(what need) secret {
	if set.Token == "" && what == needRead {
		return set.ReadToken
	}
	return set.Token
}

// secrets are the words that an answer of another server must not bring in here: it
// was sent them.
func (set *settings) secrets() (words []string) {
	for _, s := range []secret{set.Token, set.ReadToken} {
		if s != "" {
			words = append(words, string(s))
		}
	}
	return words
}

// admit checks a request before anybody answers it.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, what need) error {
	set := s.settings()
	if (r.TLS != nil) != (set.certificate != nil) { // a connection from before a reload
		w.Header().Set("Connection", "close")
	}
	err := permit(set, what, r.Host, r.Header)
	if err != nil && status(err) == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenges[what])
	}
	return err
}

// Host is a name or an address that this server may be called by.
type Host struct{ name string }

// ParseHost reads a host name or an address, in brackets or not.
func ParseHost(raw string) (Host, error) {
	h := Host{hostOf(raw)}
	bare := strings.TrimSuffix(strings.TrimPrefix(raw, "["), "]")
	if _, err := netip.ParseAddr(bare); err != nil && (strings.Contains(raw, ":") || !origin.IsHost(h.name)) {
		return Host{}, fmt.Errorf("%q is no host; write a name or an address, without a port", raw)
	}
	return h, nil
}

func (h Host) String() string { return h.name }

func (h Host) Same(other Host) bool { return h == other }

// hostOf is the host of a Host header, without its port, in the one spelling that
// hosts are compared in.
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

// isAllowedHost reports whether a Host header names one of these hosts. Without any,
// every header will do.
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
