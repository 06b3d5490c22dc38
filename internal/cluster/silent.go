package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// silent remembers the servers that did not answer the last request. Such a server has only a
// moment to take a connection: a person who waits for the answer to a push should not wait for a
// black hole each time. A server that is back takes the connection within that moment.
type silent struct {
	dialer    net.Dialer
	mu        sync.Mutex      // guards addresses
	addresses map[string]bool // as they are dialed
}

// silentTimeout is how long a silent server has to take a connection.
const silentTimeout = 2 * time.Second

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func newSilent() *silent {
	return &silent{dialer: net.Dialer{KeepAlive: 30 * time.Second}, addresses: make(map[string]bool)}
}

// dial connects to a server: within silentTimeout if it is silent.
func (s *silent) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !s.has(address) {
		return s.dialer.DialContext(ctx, network, address)
	}
	short, cancel := context.WithTimeout(ctx, silentTimeout)
	defer cancel()
	c, err := s.dialer.DialContext(short, network, address)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() && ctx.Err() == nil {
		return nil, &silentError{fmt.Errorf("no connection within %s, and no answer the last time either", silentTimeout)}
	}
	return c, err
}

// silentError is the error of a connection to a server that is still silent.
type silentError struct{ error }

func (s *silent) has(address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addresses[address]
}

// record records whether the server of a request was silent. A request that ended for another
// reason, such as a client that went away, says nothing about that.
func (s *silent) record(r *http.Request, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		delete(s.addresses, dialed(r.URL))
	case isSilence(r, err):
		s.addresses[dialed(r.URL)] = true
	}
}

// isSilence reports whether a request failed because there was no connection, or no answer in
// time.
func isSilence(r *http.Request, err error) bool {
	var failed *net.OpError
	var still *silentError
	return r.Context().Err() == context.DeadlineExceeded || errors.As(err, &still) || errors.As(err, &failed) && failed.Op == "dial"
}

// dialed returns the address that net/http dials for a URL.
func dialed(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
