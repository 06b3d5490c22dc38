// Package access decides who may ask a server for what: tokens, and the names that the server
// may be called by.
package access

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/reconquest/sould/internal/errtext"
)

// Need is what a request must be permitted to do.
type Need int

const (
	Nothing Need = iota // it tells nobody anything
	Read
	Command
)

// NeedOf tells what a request needs. What is not known to be harmless is a command.
func NeedOf(method, path string) Need {
	switch {
	case method == http.MethodGet, method == http.MethodHead:
		if path == "/x/health" {
			return Nothing
		}
		return Read
	case method == http.MethodPost && strings.HasSuffix(path, "/git-upload-pack"): // a clone
		return Read
	default:
		return Command
	}
}

// Policy says what requests must bring. The zero value permits everything to everybody.
type Policy struct {
	Hosts            []Host // what the server may be called; none for anything
	Token, ReadToken Secret // for commands and reading, and for reading alone; "" for none
}

// Refusal is why a request may not go on.
type Refusal struct {
	WrongHost bool // it means another server; else it lacks a token
	reason    string
}

func (r *Refusal) Error() string { return r.reason }

func refuse(wrongHost bool, format string, args ...any) error {
	return &Refusal{wrongHost, fmt.Sprintf(format, args...)}
}

// Permit decides whether a request may go on: it must mean this server, and bring the
// token that it needs, if the policy wants one. The error is a *Refusal.
func (p Policy) Permit(what Need, host string, header http.Header) error {
	if !isAllowedHost(p.Hosts, host) {
		return refuse(true, "this server is not called %q: its configuration (allow_hosts) does not name it", errtext.Word(host, 100))
	}
	if p.Token == "" && p.ReadToken == "" {
		return nil
	}
	word, bearer := credential(header)
	mayCommand, mayRead := p.Token.Is(word), p.ReadToken.Is(word)
	switch {
	case what == Command && p.Token != "":
		switch {
		case mayCommand && bearer:
			return nil
		case word == "" || !bearer:
			return refuse(false, "this needs the server's token, in a header: Authorization: Bearer <token>")
		case mayRead:
			return refuse(false, "this token is for reading only")
		}
		return refuse(false, "this is not the server's token")
	case what == Read && p.ReadToken != "" && !mayRead && !mayCommand:
		if word == "" {
			return refuse(false,
				"reading needs a token, as the password of basic authentication or in a header: Authorization: Bearer <token>")
		}
		return refuse(false, "this is not a token of this server")
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

// Authorize lets a request to another server of the cluster bring the token that it
// needs there: that of this server, since a cluster has one. It is for servers that
// the configuration names, and nobody else.
func (p Policy) Authorize(r *http.Request) {
	if token := p.TokenFor(NeedOf(r.Method, r.URL.Path)); token != "" {
		r.Header.Set("Authorization", "Bearer "+string(token))
	}
}

// TokenFor is what a request to another server of the cluster has to bring, or nothing.
func (p Policy) TokenFor(what Need) Secret {
	if p.Token == "" && what == Read {
		return p.ReadToken
	}
	return p.Token
}

// Secrets are the words that an answer of another server must not bring in here: it
// was sent them.
func (p Policy) Secrets() (words []string) {
	for _, s := range []Secret{p.Token, p.ReadToken} {
		if s != "" {
			words = append(words, string(s))
		}
	}
	return words
}
