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

// silent are the servers that have not answered the last time. They are given a moment only to
// take a connection: who waits for the answer to a push should not wait for a black hole each
// time. One that is there again takes it within that moment.
type silent struct {
	dialer net.Dialer
	mu     sync.Mutex      // guards by
	by     map[string]bool // addresses as they are dialed
}

// silentTimeout is how long a server that was silent has to take a connection.
const silentTimeout = 2 * time.Second

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func newSilent() *silent {
	return &silent{dialer: net.Dialer{KeepAlive: 30 * time.Second}, by: make(map[string]bool)}
}

// dial connects.
func (s *silent) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !s.is(address) {
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

// silentError is why a server that was silent still is.
type silentError struct{ error }

func (s *silent) is(address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by[address]
}

// record notes what became of a request to a server. Its end for another reason than that the
// server is silent, such as that nobody wants to know any more, says nothing.
func (s *silent) record(r *http.Request, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		delete(s.by, dialed(r.URL))
	case isSilence(r, err):
		s.by[dialed(r.URL)] = true
	}
}

// isSilence reports whether a request has failed since there was no connection, or no answer
// in time.
func isSilence(r *http.Request, err error) bool {
	var failed *net.OpError
	var still *silentError
	return r.Context().Err() == context.DeadlineExceeded || errors.As(err, &still) || errors.As(err, &failed) && failed.Op == "dial"
}

// dialed is the address that net/http dials for a URL.
func dialed(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
