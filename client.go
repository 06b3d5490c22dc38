package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// newClient returns a client for other sould servers. Their answers are not
// followed elsewhere: net/http would send a form, credentials included, again.
// They may be slow, and each connection takes a descriptor: who comes when there are
// perServer to one of them waits.
func newClient(security *tls.Config, perServer int) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:     security,
			MaxIdleConnsPerHost: min(8, perServer),
			MaxConnsPerHost:     perServer,
			IdleConnTimeout:     time.Minute, // less than a server's
		},
	}
}

// header is a line of a request's header.
type header struct{ name, value string }

// dress adds lines to a request's header, but for empty ones.
func dress(r *http.Request, lines ...header) {
	for _, line := range lines {
		if line.name != "" {
			r.Header.Set(line.name, line.value)
		}
	}
}

// exchange sends a request to another server and reads what became of it there. The
// answer may not show the secrets.
func (set *settings) exchange(ctx context.Context, r *http.Request, timeout time.Duration, secrets []string) (outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	r.Header.Set("Accept", "application/json, text/plain;q=0.5")
	set.accessPolicy().Authorize(r)
	answer, err := set.client.Do(r.WithContext(ctx))
	if err != nil {
		return outcome{}, transportError(ctx, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return outcome{}, transportError(ctx, err)
	}
	return readAnswer(answer, text, secrets)
}

// transportError is why a slave could not be asked: the reason alone, without
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

// maxAnswer is how much of a slave's answer is read, in bytes.
const maxAnswer = 1 << 20
