package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/changes"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/refs"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Options are the part of the configuration that this package reads. They are never changed once
// they are in force: Configure replaces them.
type Options struct {
	Slaves     []protocol.Address // where requests are passed on to; none unless this server is a master
	Peers      []protocol.Address // other servers that may stand in for an origin
	Access     access.Policy      // the tokens that requests need, there as here
	TLS        *tls.Config        // how other servers' certificates are checked
	CAFile     string             // the same for git; empty for the system's
	Timeout    time.Duration      // the whole time for communication with one server
	Repair     time.Duration      // between two comparisons; 0 for no comparisons
	Refs       []refs.Pattern     // the refs that mirrors contain
	AllowLocal bool               // origins may be local paths
	MaxConns   int                // to each server
}

// servers returns the servers that may be asked instead of an origin, each once: the peers and
// the slaves of the configuration. A request cannot add to them.
func (o *Options) servers() []protocol.Address {
	servers := slices.Clone(o.Peers)
	for _, slave := range o.Slaves {
		if !slices.ContainsFunc(servers, slave.Same) {
			servers = append(servers, slave)
		}
	}
	return servers
}

// Client sends requests to other servers. Its methods are safe for concurrent use.
type Client struct {
	self    string // this server's id
	epoch   string // tells this process from all others
	log     *slog.Logger
	current atomic.Pointer[settings]

	versions atomic.Uint64   // the last version given to a peer's status
	news     changes.Counter // of what is known about other servers
	mu       sync.Mutex      // guards peers
	peers    map[peerKey]*peer

	propagations propagations
}

// settings are options and what is made of them.
type settings struct {
	*Options
	client *Client
	http   *http.Client
	silent *silent
	itself *itself
	kept   *atomic.Int64 // the size of all peers' statuses that are kept
}

// do sends a request, and records whether the server answered. The error may be errItself.
func (s *settings) do(r *http.Request) (*http.Response, error) {
	r.Header.Set(protocol.InstanceHeader, protocol.AskInstance)
	r.Header["Idempotency-Key"] = nil // not sent: the transport may repeat it if a kept connection was closed
	answer, err := s.http.Do(r)
	s.silent.record(r, err)
	if err == nil && answer.Header.Get(protocol.InstanceHeader) == s.client.epoch {
		answer.Body.Close()
		s.noteItself(r)
		return nil, errItself
	}
	return answer, err
}

// NewClient returns a client for the server whose id is self. Its requests are answered with
// epoch by this process, and by no other one.
func NewClient(self, epoch string, log *slog.Logger, options *Options) *Client {
	c := &Client{self: self, epoch: epoch, log: log}
	c.Configure(options)
	return c
}

// Configure puts options in force, and forgets the peers' statuses: the new configuration may
// name other servers.
func (c *Client) Configure(options *Options) {
	c.mu.Lock()
	c.peers = make(map[peerKey]*peer)
	quiet := newSilent()
	old := c.current.Swap(&settings{
		Options: options, client: c, http: newHTTPClient(options.TLS, options.MaxConns, quiet.dial), silent: quiet,
		itself: &itself{seen: make(map[string]time.Time)}, kept: new(atomic.Int64),
	})
	c.mu.Unlock()
	c.news.Add()
	c.propagations.keep(options.Slaves)
	if old != nil {
		old.http.CloseIdleConnections()
	}
}

// Close closes idle connections.
func (c *Client) Close() { c.current.Load().http.CloseIdleConnections() }

// newHTTPClient returns a client for other servers. It follows no redirect: net/http would send a
// form again, credentials included. Each server has perServer connections at most, since each
// takes a descriptor and the server may be slow; further requests wait for one. No server is
// asked to compress, so that an answer cannot grow here.
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

// PropagatePull passes a request to pull on to a slave, and returns the slave's outcome. If tell is
// not nil, the slave is asked to say how far it is, and tell gets its lines, and those of the servers
// below it. An older slave says nothing of that.
func (c *Client) PropagatePull(
	ctx context.Context, slave protocol.Address, req mirror.Request, trace protocol.Trace, tell func(protocol.Line),
) protocol.Outcome {
	set := c.current.Load()
	form := pullForm(set, req)
	form.Progress = tell != nil
	return c.propagate(slave, func() (protocol.Outcome, error) {
		return set.askToPull(ctx, slave, form, func(h http.Header) {
			trace.Set(h)
			protocol.SetAsked(h, req.Wanted)
		}, tell)
	})
}

// PropagateDelete asks a slave to remove a mirror, as somebody requested at that time, and returns
// the slave's outcome.
func (c *Client) PropagateDelete(
	ctx context.Context, slave protocol.Address, name storage.Name, trace protocol.Trace, at time.Time,
) protocol.Outcome {
	set := c.current.Load()
	return c.propagate(slave, func() (protocol.Outcome, error) {
		path := (&url.URL{Path: "/" + name.String()}).EscapedPath()
		r, err := http.NewRequest(http.MethodDelete, slave.URL()+path, nil)
		if err != nil {
			return protocol.Outcome{}, err
		}
		trace.Set(r.Header)
		protocol.SetAsked(r.Header, at)
		o, err := set.exchange(ctx, r, nil)
		o.Removed = o.State == protocol.Success && !o.Absent
		return o, err
	})
}

// propagate sends a request to a slave by ask, and returns the outcome, also of an error.
func (c *Client) propagate(slave protocol.Address, ask func() (protocol.Outcome, error)) protocol.Outcome {
	began := time.Now()
	o, err := ask()
	if err != nil {
		o = protocol.Failure(err)
	}
	if errors.Is(err, errItself) {
		o.State = protocol.Itself
	}
	took := time.Since(began)
	o.Address, o.Seconds = slave.String(), took.Seconds()
	c.propagations.record(slave, o.State, took)
	return o
}

// pullForm is the form of a request to pull. Its wait is a little shorter than the timeout, so
// that a busy server can still say that it is busy.
func pullForm(set *settings, req mirror.Request) protocol.Pull {
	return protocol.Pull{Name: req.Name, Origin: req.Origin, Move: req.Move, Accept: req.Accept, Wait: set.Timeout * 9 / 10}
}

// askToPull asks another server to pull, and returns its outcome. tell gets lines of its progress if
// the form asks for them.
func (s *settings) askToPull(
	ctx context.Context, server protocol.Address, form protocol.Pull, setHeaders func(http.Header), tell func(protocol.Line),
) (protocol.Outcome, error) {
	r, err := http.NewRequest(http.MethodPost, server.URL()+"/", strings.NewReader(form.Form().Encode()))
	if err != nil {
		return protocol.Outcome{}, err
	}
	r.Header.Set("Content-Type", protocol.FormType)
	setHeaders(r.Header)
	return s.exchange(ctx, r, tell, form.Secrets()...)
}

// exchange sends a request to another server and reads the outcome from its answer. tell gets the
// lines of progress before that, if the answer has any; it may be nil. Neither the outcome, the
// lines nor the error show the tokens, or the secrets that the request contains.
func (s *settings) exchange(ctx context.Context, r *http.Request, tell func(protocol.Line), secrets ...string) (protocol.Outcome, error) {
	secrets = append(s.Access.Secrets(), secrets...)
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("no answer within %s", units.FormatDuration(s.Timeout)))
	defer cancel()
	r.Header.Set("Accept", "application/json, text/plain;q=0.5")
	if tell != nil {
		r.Header.Set("Accept", protocol.StreamType+", application/json, text/plain;q=0.5")
	}
	s.Access.Authorize(r)
	answer, err := s.do(r.WithContext(ctx))
	if err != nil {
		return protocol.Outcome{}, transportError(ctx, err, secrets)
	}
	defer answer.Body.Close()
	if tell != nil && protocol.IsStream(answer) {
		o, err := protocol.ReadStream(answer, secrets, tell)
		if err != nil && !errors.Is(err, protocol.ErrAtWork) {
			err = transportError(ctx, err, secrets)
		}
		return o, err
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, protocol.MaxAnswer+1))
	if err != nil {
		return protocol.Outcome{}, transportError(ctx, err, secrets)
	}
	return protocol.ReadAnswer(answer, text, secrets)
}

// transportError returns the reason why a request failed, without the method and URL that
// net/http puts before it, and without the secrets, which the server may have repeated.
func transportError(ctx context.Context, err error, secrets []string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return errtext.RedactError(err, secrets)
}
