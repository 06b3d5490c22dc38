// Package access decides which requests a server answers: it looks at the token of a request,
// and at the name by which the request calls the server. It reads the files in which an operator
// keeps tokens and certificates.
package access

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/reconquest/sould/internal/errtext"
)

// Need is the permission that a request needs.
type Need int

const (
	Nothing Need = iota // the answer contains nothing confidential, or the request is signed
	Read                // it reads mirrors or the status
	Command             // it may change something
)

// NeedOf returns what a request needs. A request that is not known to be harmless is a Command.
func NeedOf(method, path string) Need {
	switch {
	case method == http.MethodGet, method == http.MethodHead:
		if IsHealth(path) {
			return Nothing
		}
		return Read
	case method == http.MethodPost && strings.HasSuffix(path, "/git-upload-pack"): // a clone
		return Read
	case method == http.MethodPost && strings.HasPrefix(path, "/x/hook/"): // its signature is looked at later
		return Nothing
	default:
		return Command
	}
}

// IsHealth reports whether a path is one of those of the health, in the one spelling that needs
// no token.
func IsHealth(path string) bool {
	return path == "/x/health" || path == "/x/health/live" || path == "/x/health/ready"
}

// Policy says what requests must have. The zero value permits every request.
type Policy struct {
	Hosts            []Host // the names of the server; empty for any
	Token, ReadToken Secret // Token permits everything, ReadToken only reading; "" for none
}

// Refusal says why a request is not permitted.
type Refusal struct {
	WrongHost bool // the request is for another server; otherwise its token is missing or wrong
	reason    string
}

func (r *Refusal) Error() string { return r.reason }

func refuse(wrongHost bool, format string, args ...any) error {
	return &Refusal{wrongHost, fmt.Sprintf(format, args...)}
}

// Permit decides whether a request is permitted: it must call this server by a name of the
// policy, and have the token for its need. The error is a [*Refusal].
func (p Policy) Permit(need Need, host string, header http.Header) error {
	if !isAllowedHost(p.Hosts, host) {
		return refuse(true, "this server is not called %q: its configuration (allow_hosts) does not name it", errtext.Word(host, 100))
	}
	if need == Nothing || need == Command && p.Token == "" || need == Read && p.ReadToken == "" {
		return nil
	}
	word, bearer := credential(header)
	mayCommand, mayRead := p.Token.Is(word), p.ReadToken.Is(word)
	switch {
	case need == Read && (mayRead || mayCommand), need == Command && mayCommand && bearer:
		return nil
	case need == Read && word == "":
		return refuse(false,
			"reading needs a token, as the password of basic authentication or in a header: Authorization: Bearer <token>")
	case need == Read:
		return refuse(false, "this is not a token of this server")
	case word == "" || !bearer:
		return refuse(false, "this needs the server's token, in a header: Authorization: Bearer <token>")
	case mayRead:
		return refuse(false, "this token is for reading only")
	default:
		return refuse(false, "this is not the server's token")
	}
}

// credential returns the token of a request: the word after "Bearer", or the password of basic
// authentication with any user.
func credential(header http.Header) (word string, bearer bool) {
	scheme, rest, _ := strings.Cut(header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest), true
	}
	_, word, _ = (&http.Request{Header: header}).BasicAuth()
	return word, false
}

// Authorize adds to a request to another server of the cluster the token that it needs there.
// That is this server's own token, since all servers of a cluster have the same. Send it only
// to servers that the configuration names.
func (p Policy) Authorize(r *http.Request) {
	if token := p.TokenFor(NeedOf(r.Method, r.URL.Path)); token != "" {
		r.Header.Set("Authorization", "Bearer "+string(token))
	}
}

// TokenFor returns the token that a request to another server of the cluster needs, or "".
func (p Policy) TokenFor(need Need) Secret {
	if p.Token == "" && need == Read {
		return p.ReadToken
	}
	return p.Token
}

// Secrets returns the words that must be removed from the answers of other servers, which
// receive them in requests.
func (p Policy) Secrets() (words []string) {
	for _, s := range []Secret{p.Token, p.ReadToken} {
		if s != "" {
			words = append(words, string(s))
		}
	}
	return words
}
