// Package lsrefs asks an http or https server for the refs of a repository, as git ls-remote
// does, but without a process and over connections that are kept.
//
// It gives the same answer as git, or an error. The caller asks git after every error but a
// [Refusal], which is an answer as well. So all that is unusual is an error: a redirect that must
// not be followed, authentication other than Basic, a dumb server, a line that git could read
// differently, a proxy or a certificate that net/http handles differently than git's library.
// Nobody needs to read these errors, except those of Request.Login: git either succeeds or says what
// is wrong.
//
// # Versions of the protocol
//
// In version 0 the first answer has all refs: one exchange. Version 2 takes two exchanges, but
// the client can say which refs it wants. So the client asks in version 0, except if the server
// speaks only version 2, or if it shows so many unwanted refs that a second exchange is cheaper:
// a forge has two for each pull request. The client remembers this for each origin. It remembers
// nothing else, so no answer depends on an earlier one.
//
// # Connections
//
// A few connections are kept for a short time. A kept connection can be dead without notice, if a
// firewall has forgotten it or the server's machine is gone. So the kernel closes a connection if
// the other side acknowledges nothing within [unackedTime]. A server that is only slow does
// acknowledge. Cookies, redirects and alternative services are not remembered.
package lsrefs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options say how a Client reaches servers.
type Options struct {
	CAFile  string                           // certificates (PEM) to trust; empty for the system's
	MaxIdle int                              // connections that are kept, for each file of certificates; 0 for a few
	Getenv  func(name string) (string, bool) // the environment that git would see

	// Dial connects to servers. It is used instead of the proxies that the environment names. With nil,
	// connections are ordinary ones.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Request is a question to the server of a repository.
type Request struct {
	URL      string   // of the repository, http or https, as in git's arguments
	Header   []string // lines such as "Name: value", for each request
	CAFile   string   // certificates (PEM) to trust instead of those of Options; empty for those
	Direct   bool     // use no proxy
	V0       bool     // the server speaks version 0: do not try version 2
	Prefixes []string // of the names of wanted refs; the answer may have others too. Empty for all

	// Authorization is the value of this header, to be sent from the first request on; empty for
	// nothing until the server asks for credentials.
	Authorization string
	// Login is called when the server asks for credentials, or refuses those that it was sent. basic
	// is whether it takes only Basic authentication. It returns the value of the header. With nil, or
	// after an ErrNoLogin, the caller has to ask git; any other error is the one of List.
	Login func(ctx context.Context, basic bool) (authorization string, err error)
	// Follow is called when the server redirects to target, and returns the repository to ask
	// instead. With nil, or if ok is false, List returns an error.
	Follow func(target *url.URL) (repository string, ok bool)
}

// ErrNoLogin says that there are no credentials for a server that wants some.
var ErrNoLogin = errors.New("there are no credentials")

// Ref is a ref that a server shows.
type Ref struct {
	Name   string // in full
	ID     string // the object it names, as 40 or 64 hex digits
	Peeled string // the same, or what an annotated tag leads to in the end
}

// List is what a server shows. HEAD is not among the refs.
type List struct {
	Refs []Ref // sorted by name, each once

	HeadRef string // the branch that HEAD names; empty if it is detached or not shown
	HeadID  string // empty if it is not shown
}

func (l List) empty() bool { return len(l.Refs) == 0 && l.HeadID == "" }

// Client asks servers. Its methods are safe for concurrent use.
type Client struct {
	transports *transports
	proxies    proxies
	hints      *hints
}

// NewClient returns a client. It keeps idle connections until Close, but not longer than a minute.
func NewClient(o Options) *Client {
	c := &Client{transports: newTransports(o), hints: &hints{of: make(map[string]hint)}}
	if o.Dial == nil {
		c.proxies = proxiesOf(o.Getenv)
	}
	return c
}

// Close closes idle connections, and the others as soon as they are idle. The client can be used
// afterwards.
func (c *Client) Close() { c.transports.close() }

// MaxAsked is the longest time for which a server can ask to be left alone.
const MaxAsked = time.Hour

// Refusal is an answer with an error status. Git would be refused too, and servers may count that.
type Refusal struct {
	Status int
	Text   string   // for people, without spaces around it; empty for none
	V2     *Refusal // the answer in version 2, if that was tried too

	// RetryAfter is for how long the server asks to be left alone; 0 if it does not.
	RetryAfter time.Duration
}

func (r *Refusal) Error() string { return fmt.Sprintf("the status is %d", r.Status) }

// mayNeedV2 reports whether the server may have refused because it speaks only version 2.
func (r *Refusal) mayNeedV2() bool {
	return r.Status != http.StatusForbidden && r.Status != http.StatusTooManyRequests
}

// List asks for refs. After any error but a *Refusal the caller has to ask git, unless ctx has
// ended.
func (c *Client) List(ctx context.Context, r Request) (List, error) {
	hint := c.hints.get(r.URL)
	if hint.isForGit() {
		return List{}, &unusual{"the origin's latest answer was unusual", hint.page}
	}
	l, v2, err := c.list(ctx, r, hint.v2)
	switch {
	case isUnusual(err):
		c.hints.leaveToGit(r.URL, IsPage(err))
	case err == nil && v2 != hint.v2:
		c.hints.setV2(r.URL, v2)
	}
	return l, err
}

// list asks in version 2, or in version 0 and, if that does not do, in version 2. again reports
// whether to begin with version 2 the next time.
func (c *Client) list(ctx context.Context, r Request, v2 bool) (l List, again bool, err error) {
	s, err := c.session(r)
	if err != nil {
		return List{}, false, err
	}
	if v2 {
		return s.listV2(ctx)
	}
	l, err = s.listV0(ctx)
	refusal := (*Refusal)(nil)
	switch refused := errors.As(err, &refusal); {
	case err == nil && !l.empty():
		return l, !r.V0 && tooManyUnwanted(l, r.Prefixes), nil
	case r.V0, err != nil && (!refused || !refusal.mayNeedV2()):
		return l, false, err
	}
	// A server that speaks only version 2 shows nothing in version 0, or returns some error.
	l, again, err = s.listV2(ctx)
	if refusal != nil && errors.As(err, &refusal.V2) {
		err = refusal
	}
	return l, again && !l.empty(), err
}

// manyUnwanted is how many unwanted refs cost as much as a second exchange.
const manyUnwanted = 1000

// tooManyUnwanted reports whether to ask in version 2, for refs with these prefixes only.
func tooManyUnwanted(l List, prefixes []string) bool {
	if len(prefixes) == 0 || len(prefixes) > maxPrefixes || len(l.Refs) < manyUnwanted {
		return false
	}
	wanted := 0
	for _, ref := range l.Refs {
		for _, prefix := range prefixes {
			if strings.HasPrefix(ref.Name, prefix) {
				wanted++
				break
			}
		}
	}
	unwanted := len(l.Refs) - wanted
	return unwanted >= manyUnwanted && unwanted > wanted
}

// unusual is an error that the server will cause again next time.
type unusual struct {
	why  string
	page bool // it is a page for people
}

func (u *unusual) Error() string { return u.why }

// IsPage reports whether List has failed because the server answers with a page for people (HTML), such
// as that of a login. Git may take one for the list of an empty repository.
func IsPage(err error) bool {
	u := (*unusual)(nil)
	return errors.As(err, &u) && u.page
}

func unusualf(format string, args ...any) error { return &unusual{why: fmt.Sprintf(format, args...)} }

func isUnusual(err error) bool { return errors.As(err, new(*unusual)) }
