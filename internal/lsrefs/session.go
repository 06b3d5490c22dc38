package lsrefs

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/reconquest/sould/internal/pktline"
)

const (
	// maxList is the longest answer that is read, in bytes, inflated: about a million refs.
	// Git has a limit of its own.
	maxList = 64 << 20

	// maxRefuse is how much is read, in bytes, of an answer that nobody wants, so that the
	// connection can be kept.
	maxRefuse = 16 << 10

	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10

	// maxRedirects is how many redirects in a row are followed.
	maxRedirects = 5

	// maxPrefixes is how many prefixes are sent. Whoever has more is shown all refs.
	maxPrefixes = 100
)

// The questions of gitprotocol-http(5), and the types of their answers.
const (
	firstQuestion = "info/refs?service=git-upload-pack"
	advertType    = "application/x-git-upload-pack-advertisement"
	fetchPath     = "git-upload-pack"
	requestType   = "application/x-git-upload-pack-request"
	resultType    = "application/x-git-upload-pack-result"
)

// userAgent begins as that of git does: there are servers that look at it.
const userAgent = "git/2.0 (sould)"

// session is one list. Its exchanges are one after the other.
type session struct {
	Request
	transport *http.Transport
	proxy     *url.URL // nil for none
	base      string   // the URL of the repository, with a slash at the end
	basic     string   // the login that the server has asked for; empty if it has not
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

// plainURL takes a URL that means the same to every program.
func plainURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https", u.String() != raw, u.User != nil, u.Host == "",
		strings.ContainsAny(raw, "?#"), strings.ContainsAny(u.Host, "%"), !isASCII(u.Host),
		strings.Contains(u.Path+"/", "/./"), strings.Contains(u.Path+"/", "/../"):
		return nil, errors.New("git may read the URL in another way")
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

// classic asks in version 0 of the protocol.
func (s *session) classic(ctx context.Context) (l List, err error) {
	err = s.first(ctx, "", func(p *pktline.Reader) error {
		g, err := readGreeting(p)
		if err == nil && g.modern {
			return foreignf("it speaks version 2 without being asked to")
		}
		l = g.list
		return err
	})
	return l, err
}

// modern asks in version 2, for the refs that are wanted. stay is false if the server does not
// speak it: its answer has all refs then.
func (s *session) modern(ctx context.Context) (l List, stay bool, err error) {
	var g greeting
	err = s.first(ctx, "version=2", func(p *pktline.Reader) (err error) {
		g, err = readGreeting(p)
		return err
	})
	if err != nil || !g.modern {
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

// exchange asks a question, also again where the server sends the client on or wants to know who
// it is, and has the answer read.
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
		if err != nil || again {
			refuse(answer.Body)
			if err != nil {
				return err
			}
			continue
		}
		return readAnswer(answer, read)
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
		q.Header["Idempotency-Key"] = nil // is not sent: it may be repeated if a kept connection has ended
	}
	for _, line := range s.Header {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("a header without a value")
		}
		q.Header.Add(name, value)
	}
	if s.basic != "" {
		q.Header.Set("Authorization", s.basic)
	}
	return q, nil
}

// next decides what becomes of an answer: it is read, the question is asked again, in the place
// that s says then, or it is for git.
func (s *session) next(q *http.Request, answer *http.Response, redirects *int) (again bool, err error) {
	want := advertType
	if q.Method == http.MethodPost {
		want = resultType
	}
	switch kind := answer.Header["Content-Type"]; {
	case answer.StatusCode == http.StatusOK && len(kind) == 1 && kind[0] == want:
		return false, nil
	case answer.StatusCode == http.StatusOK:
		return false, foreignf("the type of its answer is %.100q", kind)
	case answer.StatusCode == http.StatusUnauthorized && s.basic == "" && s.Login != nil && wantsBasic(answer.Header):
		user, password, ok := s.Login()
		if !ok {
			break
		}
		s.basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
		return true, nil
	case answer.StatusCode/100 == 3 && q.Method == http.MethodGet && *redirects < maxRedirects:
		*redirects++
		return true, s.follow(q.URL, answer.Header["Location"])
	}
	return false, &foreign{"its status is " + answer.Status, answer.StatusCode}
}

// follow goes on where the server redirects to, if that is allowed.
func (s *session) follow(from *url.URL, location []string) error {
	if len(location) != 1 || s.Follow == nil {
		return foreignf("it redirects")
	}
	target, err := from.Parse(location[0])
	if err != nil {
		return foreignf("it redirects to what is no URL")
	}
	base, ok := s.Follow(target)
	if !ok {
		return foreignf("it redirects to another place")
	}
	if _, err := plainURL(base); err != nil {
		return foreignf("it redirects to a URL that git may read in another way")
	}
	s.base = withSlash(base)
	return nil
}

// wantsBasic reports whether a server takes Basic authentication and nothing else, which git
// would prefer.
func wantsBasic(h http.Header) bool {
	challenges := h["Www-Authenticate"]
	if len(challenges) != 1 {
		return false
	}
	scheme, _, _ := strings.Cut(challenges[0], " ")
	// What follows a comma may be another scheme: it has a word, and no "=", before a space.
	for part := range strings.SplitSeq(challenges[0], ",") {
		if word, _, _ := strings.Cut(strings.TrimSpace(part), " "); !strings.Contains(word, "=") && !strings.EqualFold(word, "Basic") {
			return false
		}
	}
	return strings.EqualFold(scheme, "Basic")
}

// readAnswer has the body of an answer read to its end, and keeps the connection if it was.
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
		return foreignf("its answer goes on behind its end")
	}
	return nil
}

// readers are for readAnswer: lists come often, and each has a buffer.
var readers = sync.Pool{New: func() any { return pktline.NewReader(nil) }}

// refuse reads an answer that nobody wants, if it is short.
func refuse(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxRefuse)
	_ = body.Close()
}
