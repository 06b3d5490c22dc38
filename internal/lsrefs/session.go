package lsrefs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/reconquest/sould/internal/pktline"
	"github.com/reconquest/sould/internal/ratelimit"
)

const (
	// maxList is the longest answer that is read, in bytes after decompression: about a million
	// refs. Git has its own limit.
	maxList = 64 << 20

	// maxDiscard is the longest body that is read to be thrown away, in bytes, so that its
	// connection can be kept.
	maxDiscard = 16 << 10

	// maxText is the longest text of a refusal, in bytes.
	maxText = 4 << 10

	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10

	// maxRedirects is how many redirects of a question are followed.
	maxRedirects = 5

	// maxLogins is how many credentials are asked for.
	maxLogins = 5

	// maxPrefixes is how many prefixes are sent. With more, all refs are asked for.
	maxPrefixes = 100
)

// The paths and content types of gitprotocol-http(5).
const (
	firstQuestion = "info/refs?service=git-upload-pack"
	advertType    = "application/x-git-upload-pack-advertisement"
	fetchPath     = "git-upload-pack"
	requestType   = "application/x-git-upload-pack-request"
	resultType    = "application/x-git-upload-pack-result"
)

// userAgent begins like that of git, because some servers check it.
const userAgent = "git/2.0 (sould)"

// session is the exchanges, one after the other, that one list takes.
type session struct {
	Request
	transport *http.Transport
	proxy     *url.URL // nil for none
	base      string   // the URL of the repository, with a slash at the end
	logins    int      // how often the server has wanted credentials, or other ones
}

func (c *Client) session(r Request) (*session, error) {
	u, err := plainURL(r.URL)
	if err != nil {
		return nil, err
	}
	s := &session{Request: r, base: withSlash(r.URL)}
	if !r.Direct {
		if s.proxy, err = c.proxies.proxyFor(u); err != nil {
			return nil, err
		}
	}
	s.transport, err = c.transports.get(u.Scheme, r.CAFile)
	return s, err
}

// plainURL parses a URL, and refuses one that git could read differently.
func plainURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https", u.String() != raw, u.User != nil, u.Host == "",
		strings.ContainsAny(raw, "?#"), strings.ContainsAny(u.Host, "%"), !isASCII(u.Host),
		strings.Contains(u.Path+"/", "/./"), strings.Contains(u.Path+"/", "/../"):
		return nil, errors.New("git may read the URL differently")
	}
	return u, nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > '~' }) < 0
}

func withSlash(base string) string {
	if strings.HasSuffix(base, "/") {
		return base
	}
	return base + "/"
}

// listV0 asks in version 0 of the protocol.
func (s *session) listV0(ctx context.Context) (l List, err error) {
	err = s.first(ctx, "", func(p *pktline.Reader) error {
		g, err := readGreeting(p)
		if err == nil && g.v2 {
			return unusualf("it speaks version 2 unasked")
		}
		l = g.list
		return err
	})
	return l, err
}

// listV2 asks in version 2 for the wanted refs. v2 is false if the server answers in version 0:
// then the list has all refs.
func (s *session) listV2(ctx context.Context) (l List, v2 bool, err error) {
	var g greeting
	err = s.first(ctx, "version=2", func(p *pktline.Reader) (err error) {
		g, err = readGreeting(p)
		return err
	})
	if err != nil || !g.v2 {
		return g.list, false, err
	}
	err = s.exchange(ctx, http.MethodPost, fetchPath, g.lsRefs(s.Prefixes), func(p *pktline.Reader) (err error) {
		l, err = readRefs(p, g.idLength)
		return err
	})
	return l, true, err
}

// first asks the first question.
func (s *session) first(ctx context.Context, version string, read func(*pktline.Reader) error) error {
	if version != "" {
		s.Header = append(s.Header[:len(s.Header):len(s.Header)], "Git-Protocol: "+version)
	}
	return s.exchange(ctx, http.MethodGet, firstQuestion, nil, read)
}

// exchange asks a question and has the answer read. It asks again after a redirect, and with
// credentials if the server wants some.
func (s *session) exchange(ctx context.Context, method, path string, body []byte, read func(*pktline.Reader) error) error {
	for redirects := 0; ; {
		q, err := s.request(ctx, method, path, body)
		if err != nil {
			return err
		}
		answer, err := s.transport.RoundTrip(q)
		if err != nil {
			return err
		}
		again, err := s.next(q, answer, &redirects)
		switch {
		case err != nil: // a server may never send the rest
			_ = answer.Body.Close()
			return err
		case !again:
			return readAnswer(answer, read)
		}
		discard(answer)
	}
}

// request is one request.
func (s *session) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	q, err := http.NewRequestWithContext(withProxy(ctx, s.proxy), method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set("User-Agent", userAgent)
	q.Header.Set("Pragma", "no-cache")
	q.Header.Set("Accept", "*/*")
	if method == http.MethodPost {
		q.Header.Set("Accept", resultType)
		q.Header.Set("Content-Type", requestType)
		q.Header["Idempotency-Key"] = nil // not sent: the transport may repeat it if a kept connection was closed
	}
	for _, line := range s.Header {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("a header without a value")
		}
		q.Header.Add(name, value)
	}
	if s.Authorization != "" {
		q.Header.Set("Authorization", s.Authorization)
	}
	return q, nil
}

// next decides whether to read an answer or to ask again. Before that, it changes what s sends,
// or where. An unusual answer is an error.
func (s *session) next(q *http.Request, answer *http.Response, redirects *int) (again bool, err error) {
	want := advertType
	if q.Method == http.MethodPost {
		want = resultType
	}
	switch kind := answer.Header["Content-Type"]; {
	case answer.StatusCode == http.StatusOK && len(kind) == 1 && kind[0] == want:
		return false, nil
	case answer.StatusCode == http.StatusOK:
		media, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
		return false, &unusual{fmt.Sprintf("the type of its answer is %.100q", kind), media == "text/html"}
	case answer.StatusCode == http.StatusUnauthorized && s.logins < maxLogins && s.Login != nil:
		s.logins++
		s.Authorization, err = s.Login(q.Context(), wantsBasic(answer.Header))
		if errors.Is(err, ErrNoLogin) {
			break
		}
		return err == nil, err
	case answer.StatusCode/100 == 3 && q.Method == http.MethodGet && *redirects < maxRedirects:
		*redirects++
		return true, s.follow(q.URL, answer.Header["Location"])
	case isRefusal(answer.StatusCode) && q.Method == http.MethodGet && s.base == withSlash(s.URL):
		return false, refusal(answer)
	}
	return false, unusualf("its status is %s", answer.Status)
}

// isRefusal reports whether git fails at this status without any further question.
func isRefusal(status int) bool {
	return status >= 400 && status != http.StatusUnauthorized && status != http.StatusProxyAuthRequired
}

// refusal reads what a server says about its status. Git shows only plain text.
func refusal(answer *http.Response) error {
	r := &Refusal{Status: answer.StatusCode, RetryAfter: ratelimit.Asked(answer.StatusCode, answer.Header, time.Now(), MaxAsked)}
	kind, parameters, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if answer.Header.Get("Content-Type") != "" && err != nil {
		return unusualf("its type is none")
	}
	if kind != "text/plain" {
		return r
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxText+1))
	switch charset := strings.ToLower(parameters["charset"]); {
	case err != nil:
		return err
	case len(text) > maxText || !utf8.Valid(text) || charset != "" && charset != "utf-8" && charset != "us-ascii":
		return unusualf("git may show its text differently")
	}
	r.Text = strings.Trim(string(text), " \t\n\v\f\r")
	return r
}

// follow sets the repository that the server redirects to, if that is allowed.
func (s *session) follow(from *url.URL, location []string) error {
	if len(location) != 1 || s.Follow == nil {
		return unusualf("it redirects")
	}
	target, err := from.Parse(location[0])
	if err != nil {
		return unusualf("it redirects to something that is not a URL")
	}
	base, ok := s.Follow(target)
	if !ok {
		return unusualf("it redirects to another place")
	}
	if _, err := plainURL(base); err != nil {
		return unusualf("it redirects to a URL that git may read differently")
	}
	s.base = withSlash(base)
	return nil
}

// wantsBasic reports whether a server offers only Basic authentication. Git prefers others.
func wantsBasic(h http.Header) bool {
	challenges := h["Www-Authenticate"]
	if len(challenges) != 1 {
		return false
	}
	scheme, _, _ := strings.Cut(challenges[0], " ")
	// A comma separates parameters, and schemes too. A scheme has no "=" in its first word.
	for part := range strings.SplitSeq(challenges[0], ",") {
		if word, _, _ := strings.Cut(strings.TrimSpace(part), " "); !strings.Contains(word, "=") && !strings.EqualFold(word, "Basic") {
			return false
		}
	}
	return strings.EqualFold(scheme, "Basic")
}

// readAnswer has the body of an answer read. If that reaches its end, the connection is kept.
func readAnswer(answer *http.Response, read func(*pktline.Reader) error) error {
	defer answer.Body.Close()
	p := readers.Get().(*pktline.Reader)
	defer readers.Put(p)
	defer p.Reset(nil)
	p.Reset(io.LimitReader(answer.Body, maxList))
	if err := read(p); err != nil {
		return err
	}
	if _, _, err := p.Next(); err != io.EOF {
		return unusualf("its answer has more than the list")
	}
	return nil
}

// readers are reused, because each has a large buffer.
var readers = sync.Pool{New: func() any { return pktline.NewReader(nil) }}

// discard reads a short body to its end, so that the connection can be kept.
func discard(answer *http.Response) {
	if answer.ContentLength <= maxDiscard {
		_, _ = io.CopyN(io.Discard, answer.Body, maxDiscard)
	}
	_ = answer.Body.Close()
}
