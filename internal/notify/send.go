package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/ratelimit"
)

// Options are the part of the configuration that this package reads.
type Options struct {
	Targets []Target
	Secret  access.Secret  // of the signature
	Retry   time.Duration  // the pause before a delivery is sent again; doubles with each failure, up to 12 times its value
	Timeout time.Duration  // for asking the other servers whether they have a change
	Trust   *x509.CertPool // whose certificates of targets are trusted; nil for the system's
	Slaves  bool           // there are other servers that must have a change
	Release string         // of sould
}

// Bounds of one exchange with a target.
const (
	sendTimeout = 20 * time.Second // for all of it
	maxHeader   = 16 << 10         // bytes of the answer's header
	maxAnswer   = 4 << 10          // bytes of its body that are read
	maxWords    = 300              // bytes of it that are repeated
	maxLater    = time.Hour        // that a target may ask for (Retry-After)
)

// MaxTargets is how many targets there may be.
const MaxTargets = 16

func newTransport(opts *Options) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{RootCAs: opts.Trust, MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: maxHeader,
		MaxConnsPerHost:        maxSending * MaxTargets,
		IdleConnTimeout:        time.Minute,
		DisableCompression:     true,
	}
}

// outcome is what became of a delivery.
type outcome int

const (
	pending     outcome = iota
	accepted            // the target has it
	refused             // the target has answered otherwise: this delivery waits, others need not
	unreachable         // the target takes nothing now
	dropped             // it has got too old
)

// result is what became of sending the delivery of a mirror.
type result struct {
	name    string
	outcome outcome
	err     error         // why it was not accepted
	after   time.Duration // the pause that the target asks for
}

// send sends the delivery of a mirror once.
func (t *teller) send(ctx context.Context, name string) result {
	l, err := t.read(name)
	if err == nil && l.Delivery == nil {
		err = errors.New("its ledger has no delivery any more")
	}
	if err != nil {
		return result{name: name, outcome: refused, err: err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sendTimeout, fmt.Errorf("no answer within %s", sendTimeout))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.target.url, bytes.NewReader(l.Delivery.Body))
	if err != nil {
		return result{name: name, outcome: refused, err: errors.New("the request cannot be made")}
	}
	signature := Signature(t.opts.Secret, l.Delivery.Body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "sould/"+t.opts.Release)
	r.Header.Set("Sould-Delivery", l.Delivery.ID)
	r.Header.Set("X-Sould-Signature-256", signature)
	r.Header.Set("X-Hub-Signature-256", signature) // for receivers that know this one
	answer, err := t.client.Do(r)
	if err != nil {
		return result{name: name, outcome: unreachable, err: t.withoutURL(ctx, err)}
	}
	defer answer.Body.Close()
	words, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // of an answer that breaks off the status counts
	outcome, err := judge(answer.StatusCode, string(words), t.secrets())
	return result{name, outcome, err, later(answer.Header, time.Now())}
}

// withoutURL is an error of http.Client without the URL, in which there may be a secret.
func (t *teller) withoutURL(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	return errtext.RedactError(err, t.secrets())
}

// secrets are the words that must not be repeated.
func (t *teller) secrets() []string {
	secrets := []string{string(t.opts.Secret)}
	if u, err := url.Parse(t.target.url); err == nil {
		if password, ok := u.User.Password(); ok {
			secrets = append(secrets, password)
		}
	}
	return secrets
}

// judge says what an answer means.
func judge(status int, words string, secrets []string) (outcome, error) {
	said := fmt.Sprintf("it answered %d", status)
	if words = errtext.Clip(errtext.SanitizeLine(words, secrets), maxWords); words != "" {
		said += ": " + words
	}
	switch {
	case status/100 == 2:
		return accepted, nil
	case status/100 == 3:
		return refused, fmt.Errorf("it answered with a redirect (%d), which is not followed: name the right URL in notify", status)
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return unreachable, errors.New(said)
	default:
		return refused, errors.New(said)
	}
}

// later is how long a target asks to be left alone (Retry-After).
func later(h http.Header, now time.Time) time.Duration {
	wait, _ := ratelimit.After(h, now)
	return min(max(wait, 0), maxLater)
}
