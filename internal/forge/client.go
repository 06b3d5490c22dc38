package forge

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/ratelimit"
)

const (
	// MaxRepos is the most repositories of one listing.
	MaxRepos = 100_000

	// maxListing bounds the words of all repositories of one listing, in bytes.
	maxListing = 48 << 20

	// maxPages is the most pages of one listing.
	maxPages = 5_000

	// maxAnswer is the longest answer, in bytes after decompression.
	maxAnswer = 32 << 20

	// maxRefusal is how much is read of an answer that says why not, in bytes.
	maxRefusal = 16 << 10

	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10

	// maxNext is the longest URL of a next page, in bytes: all of a listing are kept.
	maxNext = 4096

	// answerTime is how long a forge has for one answer, its body included.
	answerTime = time.Minute

	// listTime is how long one listing may take, pauses included.
	listTime = time.Hour

	// longestWait is the longest pause that a listing waits for. After a longer one it has failed, and is
	// to be tried again.
	longestWait = 2 * time.Minute

	// maxPauses is how often in a row a listing waits for one page.
	maxPauses = 5

	maxRedirects = 5
)

var (
	errTooMany = fmt.Errorf("it lists more than %d repositories: name groups, or use several tables", MaxRepos)
	errTooBig  = fmt.Errorf("what it says of its repositories has more than %d bytes: name groups, or use several tables", maxListing)
	errTooLong = fmt.Errorf("its answer has more than %d bytes", maxAnswer)
)

// Limited is why a forge is not to be asked before a moment.
type Limited struct {
	Until time.Time
	For   time.Duration // from the answer on
}

func (l *Limited) Error() string {
	return fmt.Sprintf("its rate limit is used up: it wants to be left alone for %s", l.For.Round(time.Second))
}

// Client asks forges.
type Client struct{ http http.Client }

// NewClient makes a client that trusts the certificates of a file (PEM), or those of the system if the name is
// empty. It uses the proxy that the environment names.
func NewClient(caFile string) (*Client, error) {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        10 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}
	if caFile != "" {
		roots, err := access.ReadAuthorities(caFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &Client{http.Client{Timeout: answerTime, CheckRedirect: checkRedirect, Transport: transport}}, nil
}

// checkRedirect follows a redirect only to the same server: requests have a token in their header.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("it redirects again and again")
	}
	if !sameServer(r.URL, via[0].URL) {
		return fmt.Errorf("it redirects to another server: %s", place(r.URL))
	}
	return nil
}

func sameServer(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b) && a.User == nil
}

// port is the port of a URL, also if it is the scheme's.
func port(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// place is a URL without what may be secret in it.
func place(u *url.URL) string { return errtext.Word(u.Scheme+"://"+u.Host+u.Path, 200) }

// get asks for a page. known is what it was last time, or nil; the answer is that if it has not
// changed. The error may be a *Limited; wait is how long the forge wants to be left alone before the
// next request, also without an error.
func (c *Client) get(ctx context.Context, s Source, at string, known *Page) (p *Page, wait time.Duration, err error) {
	forge := apis[s.Kind]
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("User-Agent", "sould")
	if len(forge.types) == 1 {
		r.Header.Set("Accept", forge.types[0])
	}
	if s.Token != "" {
		forge.authorize(r.Header, string(s.Token))
	}
	if known != nil {
		known.ask(r.Header)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, 0, fmt.Errorf("can't ask it: %w", unwrapURL(err))
	}
	defer answer.Body.Close()
	wait = pause(answer.StatusCode, answer.Header, time.Now())
	switch {
	case answer.StatusCode == http.StatusNotModified && known != nil:
		return known, wait, nil
	case answer.StatusCode != http.StatusOK && wait > 0:
		return nil, wait, &Limited{time.Now().Add(wait), wait}
	case answer.StatusCode != http.StatusOK:
		return nil, 0, refusal(answer, s)
	}
	if err := checkType(answer.Header.Get("Content-Type"), forge.types); err != nil {
		return nil, 0, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("its answer broke off: %w", err)
	case len(body) > maxAnswer:
		return nil, 0, errTooLong
	}
	p, err = forge.read(s, at, answer, body)
	return p, wait, err
}

// read makes a page of an answer.
func (f *api) read(s Source, at string, answer *http.Response, body []byte) (*Page, error) {
	repos, next, err := f.parse(s, answer.Request.URL, answer.Header, body)
	if err != nil {
		return nil, fmt.Errorf("can't read its answer: %w", err)
	}
	for _, repo := range repos {
		if err := repo.check(); err != nil {
			return nil, fmt.Errorf("can't read its answer: %w", err)
		}
	}
	if len(next) > maxNext {
		return nil, fmt.Errorf("the URL of the next page of its list has more than %d bytes", maxNext)
	}
	if next != "" {
		if next, err = keepServer(next, answer.Request.URL); err != nil {
			return nil, err
		}
	}
	p := &Page{URL: at, Next: next, Repos: repos}
	p.remember(answer.Header)
	return p, nil
}

// keepServer returns the URL of a next page on the server that was asked. Many a forge calls itself by another name
// (ROOT_URL, external_url) than those who ask it from inside: what it says of the same list is asked there, and nothing
// else.
func keepServer(next string, asked *url.URL) (string, error) {
	u, err := url.Parse(next)
	switch {
	case err != nil:
		return "", errors.New("the URL of the next page of its list cannot be read")
	case sameServer(u, asked):
		return next, nil
	case u.Path != "" && (strings.HasSuffix(u.Path, asked.Path) || strings.HasSuffix(asked.Path, u.Path)):
		same := *asked
		same.RawQuery = u.RawQuery
		return same.String(), nil
	default:
		return "", fmt.Errorf("the next page of its list is on another server: %s", place(u))
	}
}

// unwrapURL takes from an error of the client the URL, which is long.
func unwrapURL(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// checkType checks that an answer is what it should be, and not a page for people.
func checkType(header string, types []string) error {
	kind, _, err := mime.ParseMediaType(header)
	if err != nil && header != "" {
		kind = header
	}
	if slices.Contains(types, kind) {
		return nil
	}
	hint := ""
	if kind == "text/html" {
		hint = ": is that a page to log in?"
	}
	return fmt.Errorf("it answers with %q instead of a list%s", errtext.Word(kind, 100), hint)
}

// refusal is the error of an answer that is not the one that was wanted.
func refusal(answer *http.Response, s Source) error {
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
	words := said(body)
	if s.Token != "" {
		words = strings.ReplaceAll(words, string(s.Token), s.Token.String())
	}
	text := fmt.Sprintf("it answers %d %s to %s", answer.StatusCode, http.StatusText(answer.StatusCode), place(answer.Request.URL))
	if words != "" {
		text += ": " + errtext.Word(words, 300)
	}
	return errors.New(text)
}

// MaxPause is the longest that a forge can ask to be left alone.
const MaxPause = 24 * time.Hour

// pause is how long a forge wants to be left alone after an answer; 0 for not at all. With the last
// answer that a rate limit permits it can say so already.
func pause(status int, h http.Header, now time.Time) time.Duration {
	wait := ratelimit.Asked(status, h, now, MaxPause)
	if wait == 0 && status/100 != 5 {
		wait = ratelimit.Exhausted(h, now, MaxPause)
	}
	return wait
}
