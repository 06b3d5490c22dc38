package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
)

// Options are what this package reads of the configuration. They are never changed once they
// are in force: Configure replaces them.
type Options struct {
	Slaves     []protocol.Address // requests are passed on to; none unless the server is a master
	Peers      []protocol.Address // may stand in for an origin
	Access     access.Policy      // what requests have to bring, there as here
	TLS        *tls.Config        // how others are checked
	CAFile     string             // the same for git; empty for the system's
	Timeout    time.Duration      // of all communication with one server
	Repair     time.Duration      // between two comparisons; 0 for none
	Refs       []refs.Pattern     // what mirrors contain
	AllowLocal bool               // origins may be local paths
	MaxConns   int                // to each server
}

// all are the servers that may be asked instead of an origin: those that the configuration
// names, and never one that a request names.
func (o *Options) all() []protocol.Address {
	all := slices.Clone(o.Peers)
	for _, slave := range o.Slaves {
		if !slices.ContainsFunc(all, slave.Same) {
			all = append(all, slave)
		}
	}
	return all
}

// Client asks other servers. Its methods are safe for concurrent use.
type Client struct {
	self    string // this server's id
	current atomic.Pointer[settings]

	versions atomic.Uint64 // numbers what all peers tell
	mu       sync.Mutex    // guards peers
	peers    map[peerKey]*Peer
}

// settings are options and what was made of them.
type settings struct {
	*Options
	http   *http.Client
	silent *silent
	kept   *atomic.Int64 // the size of what all peers have told
}

// do sends a request, and remembers whether the server has answered.
func (s *settings) do(r *http.Request) (*http.Response, error) {
	answer, err := s.http.Do(r)
	s.silent.record(r, err)
	return answer, err
}

// NewClient returns a client of the server with that id.
func NewClient(self string, options *Options) *Client {
	c := &Client{self: self}
	c.Configure(options)
	return c
}

// Configure puts options in force, and forgets what others have told: the configuration may
// name others now.
func (c *Client) Configure(options *Options) {
	c.mu.Lock()
	c.peers = make(map[peerKey]*Peer)
	quiet := newSilent()
	old := c.current.Swap(&settings{options, newHTTPClient(options.TLS, options.MaxConns, quiet.dial), quiet, new(atomic.Int64)})
	c.mu.Unlock()
	if old != nil {
		old.http.CloseIdleConnections()
	}
}

// Close lets go of connections that nobody uses.
func (c *Client) Close() { c.current.Load().http.CloseIdleConnections() }

// newHTTPClient returns a client for other servers. Their answers are not followed elsewhere:
// net/http would send a form, credentials included, again. They may be slow, and each
// connection takes a descriptor: who comes when there are perServer to one of them waits. They
// are not asked to compress, so that what is read is as large as what has come.
func newHTTPClient(security *tls.Config, perServer int, dial dialer) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         dial,
			DisableCompression:  true,
			TLSClientConfig:     security,
			MaxIdleConnsPerHost: min(8, perServer),
			MaxConnsPerHost:     perServer,
			IdleConnTimeout:     time.Minute, // less than a server's
		},
	}
}

// PropagatePull passes a request to pull on to a slave, and returns what became of it there.
func (c *Client) PropagatePull(ctx context.Context, slave protocol.Address, req mirror.Request, trace protocol.Trace) protocol.Outcome {
	set := c.current.Load()
	return propagate(slave, pullForm(set, req).Secrets(), set, func() (protocol.Outcome, error) {
		return c.askToPull(ctx, set, slave, req, func(h http.Header) {
			trace.Set(h)
			protocol.SetAsked(h, req.Wanted)
		})
	})
}

// PropagateDelete passes on to a slave that a mirror is to be removed, since somebody has asked
// for that then, and returns what became of it there.
func (c *Client) PropagateDelete(
	ctx context.Context, slave protocol.Address, name storage.Name, trace protocol.Trace, at time.Time,
) protocol.Outcome {
	set := c.current.Load()
	return propagate(slave, nil, set, func() (protocol.Outcome, error) {
		path := (&url.URL{Path: "/" + name.String()}).EscapedPath()
		r, err := http.NewRequest(http.MethodDelete, slave.URL()+path, nil)
		if err != nil {
			return protocol.Outcome{}, err
		}
		trace.Set(r.Header)
		protocol.SetAsked(r.Header, at)
		o, err := set.exchange(ctx, r, set.Access.Secrets())
		o.Removed = o.State == protocol.Success
		return o, err
	})
}

// propagate is what became of a request on a slave. An error may repeat what the slave said.
func propagate(slave protocol.Address, secrets []string, set *settings, ask func() (protocol.Outcome, error)) protocol.Outcome {
	began := time.Now()
	o, err := ask()
	if err != nil {
		o = protocol.Failure(err).Sanitize(append(set.Access.Secrets(), secrets...))
	}
	o.Address, o.Seconds = slave.String(), time.Since(began).Seconds()
	return o
}

// pullForm is a request as it is sent. Another server is asked to answer a little before the
// time is over, so that one that is busy can say so.
func pullForm(set *settings, req mirror.Request) protocol.Pull {
	return protocol.Pull{Name: req.Name, Origin: req.Origin, Move: req.Move, Accept: req.Accept, Wait: set.Timeout * 9 / 10}
}

// askToPull has another server pull.
func (c *Client) askToPull(
	ctx context.Context, set *settings, server protocol.Address, req mirror.Request, setHeaders func(http.Header),
) (protocol.Outcome, error) {
	form := pullForm(set, req)
	r, err := http.NewRequest(http.MethodPost, server.URL()+"/", strings.NewReader(form.Form().Encode()))
	if err != nil {
		return protocol.Outcome{}, err
	}
	r.Header.Set("Content-Type", protocol.FormType)
	setHeaders(r.Header)
	return set.exchange(ctx, r, append(set.Access.Secrets(), form.Secrets()...))
}

// exchange sends a request to another server and reads what became of it there. The
// answer may not show the secrets.
func (s *settings) exchange(ctx context.Context, r *http.Request, secrets []string) (protocol.Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("no answer within %s", s.Timeout))
	defer cancel()
	r.Header.Set("Accept", "application/json, text/plain;q=0.5")
	s.Access.Authorize(r)
	answer, err := s.do(r.WithContext(ctx))
	if err != nil {
		return protocol.Outcome{}, transportError(ctx, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, protocol.MaxAnswer+1))
	if err != nil {
		return protocol.Outcome{}, transportError(ctx, err)
	}
	return protocol.ReadAnswer(answer, text, secrets)
}

// transportError is why another server could not be asked: the reason alone, without
// the words that net/http puts before it.
func transportError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// errItself is why a server that the configuration names is not asked.
var errItself = errors.New("it is this very server")

// redact is an error that may repeat what another server has said, without what it was sent.
func (s *settings) redact(err error, more ...string) error {
	return errtext.RedactError(err, append(s.Access.Secrets(), more...))
}
