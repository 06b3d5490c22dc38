// Package lsrefs asks an http or https server for the refs of a repository, as git ls-remote
// does, without a process and over connections that are kept.
//
// It answers as git does or not at all. A server that does anything out of the ordinary (another
// status, a redirect that must not be followed, authentication that is not Basic, a dumb server,
// a line that git might read in another way, a proxy or certificates that git's library would
// find and net/http would not) is for git, which knows what to do, or has the words for what is
// wrong. So an error of this package is for nobody to read, and says only why it was git's turn.
//
// # Which version of the protocol
//
// In version 0 the first answer has all refs: one exchange. Version 2 takes two, and lets the
// client name the refs that it wants. So the question is asked in version 0, unless the server
// is known to speak version 2 only, or to have so many refs that nobody here wants (a forge shows
// two for each pull request) that the second exchange is cheaper than they are. Which of them it
// was is remembered of an origin, and nothing else is: neither answer depends on an earlier one,
// and both are complete.
//
// # Connections
//
// A few are kept for a short while. A connection can be dead without a sign of it, if a firewall
// has forgotten it or the server's machine has gone. So the kernel gives up what is not
// acknowledged within [unackedTime], which is not the same as a server that takes its time.
// Neither cookies nor redirects nor alternative services are remembered.
package lsrefs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Options say how a Client reaches servers.
type Options struct {
	CAFile  string                           // certificates (PEM) to trust; empty for the system's
	MaxIdle int                              // connections that are kept, for each file of certificates; 0 for a few
	Getenv  func(name string) (string, bool) // the environment that git would see
}

// Request is a question to the server of a repository.
type Request struct {
	URL      string   // of the repository, http or https, as git is told it
	Header   []string // lines such as "Name: value", for each request
	CAFile   string   // certificates (PEM) to trust instead of those of Options; empty for those
	Direct   bool     // use no proxy
	Classic  bool     // the server is known to speak version 0
	Prefixes []string // how the names begin that are wanted; others may be left out. Empty for all

	// Login is called when the server wants to know who asks. With nil, or if it has no answer,
	// that is left to git.
	Login func() (user, password string, ok bool)
	// Follow says which repository is asked instead if the server redirects to target, or that
	// none is. With nil, none is.
	Follow func(target *url.URL) (repository string, ok bool)
}

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
	memory     *memory
}

// NewClient returns a client. It keeps connections until Close, or a minute each.
func NewClient(o Options) *Client {
	return &Client{
		transports: newTransports(o),
		proxies:    proxiesOf(o.Getenv),
		memory:     &memory{of: make(map[string]note)},
	}
}

// Close closes the connections that nobody uses. Those in use are closed when they are not.
func (c *Client) Close() { c.transports.close() }

// List asks for refs. On any error git has to be asked, unless ctx has ended.
func (c *Client) List(ctx context.Context, r Request) (List, error) {
	known := c.memory.get(r.URL)
	if known.forGit() {
		return List{}, errors.New("it was for git a moment ago")
	}
	l, modern, err := c.list(ctx, r, known.modern)
	switch {
	case isForeign(err):
		c.memory.leave(r.URL)
	case err == nil && modern != known.modern:
		c.memory.setModern(r.URL, modern)
	}
	return l, err
}

// list asks in one version of the protocol or the other. modern tells whether the next question
// should begin with version 2.
func (c *Client) list(ctx context.Context, r Request, modern bool) (l List, stay bool, err error) {
	s, err := c.session(r)
	if err != nil {
		return List{}, false, err
	}
	if modern {
		return s.modern(ctx)
	}
	l, err = s.classic(ctx)
	switch {
	case err == nil && !l.empty():
		return l, !r.Classic && narrows(l, r.Prefixes), nil
	case r.Classic, err != nil && !mayBeModern(err):
		return l, false, err
	}
	// A server that speaks version 2 only shows nothing, or refuses the question somehow.
	l, modern, err = s.modern(ctx)
	return l, modern && !l.empty(), err
}

// manyUnwanted is from how many refs on that nobody wants a second exchange is cheaper.
const manyUnwanted = 1000

// narrows reports whether it is worth an exchange to be shown the wanted refs only.
func narrows(l List, prefixes []string) bool {
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

// foreign is why an answer is for git: the server will give it again.
type foreign struct {
	why    string
	status int // of HTTP, if that is why; else 0
}

func (f *foreign) Error() string { return f.why }

func foreignf(format string, args ...any) error { return &foreign{why: fmt.Sprintf(format, args...)} }

func isForeign(err error) bool { return errors.As(err, new(*foreign)) }

// mayBeModern reports whether a server that has answered so may do better in version 2. One that
// sends the client away, does not let it in or is overloaded will not.
func mayBeModern(err error) bool {
	f := (*foreign)(nil)
	if !errors.As(err, &f) {
		return false
	}
	switch f.status {
	case 0, 401, 403, 407, 429, 503:
		return false
	}
	return f.status >= 400
}
