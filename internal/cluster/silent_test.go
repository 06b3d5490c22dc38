package cluster

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSilent: a server counts as silent until it answers, and has silentTimeout to take a
// connection meanwhile.
func TestSilent(t *testing.T) {
	s := newSilent()
	request := func(ctx context.Context, url string) *http.Request {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	gone, leave := context.WithCancel(t.Context())
	leave()
	refused := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, c := range []struct {
		ctx  context.Context
		url  string
		err  error
		want bool // whether the server h:80 counts as silent then
	}{
		{t.Context(), "http://h/", nil, false},
		{gone, "http://h/", context.Canceled, false},
		{t.Context(), "http://h/", &net.OpError{Op: "read", Err: errors.New("reset")}, false},
		{over, "http://h/", errors.New("no answer within 20s"), true},
		{gone, "http://h:80/", context.Canceled, true},
		{t.Context(), "http://h/", nil, false},
		{t.Context(), "http://h/", refused, true},
		{t.Context(), "https://h/", nil, true},
		{t.Context(), "http://h/", nil, false},
		{t.Context(), "http://h/", &silentError{errors.New("x")}, true},
	} {
		s.record(request(c.ctx, c.url), c.err)
		if got := s.has("h:80"); got != c.want {
			t.Errorf("%s, %v: silent: %v", c.url, c.err, got)
		}
	}

	s.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done() // a black hole
		return nil, ctx.Err()
	}}
	began := time.Now()
	if _, err := s.dial(t.Context(), "tcp", "h:80"); err == nil || !strings.Contains(err.Error(), "no connection within 2s") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
}
