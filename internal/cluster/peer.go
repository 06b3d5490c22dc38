package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

// peer is another server of the cluster, with its last status. As long as that does not change,
// asking for it is one short exchange, however many mirrors the server has.
type peer struct {
	client     *Client
	set        *settings
	address    protocol.Address
	withSlaves bool // its status includes its own slaves

	mu      sync.Mutex                  // guards all below
	last    *protocol.Status            // nil if there is none, or it is not kept
	etag    string                      // of last; empty if the server sent none
	size    int64                       // of last
	version uint64                      // of the status that the server sent last
	asked   time.Time                   // when the server was asked for what it has told last; zero if it never has
	fault   string                      // why it did not answer when it was asked last; empty if it did
	index   map[string]*protocol.Mirror // the mirrors in last, by name
	indexed uint64                      // the version of index
	told    uint64                      // the version that client.news was last told of
	failing time.Time                   // when it was first asked without an answer since the last answer; zero if it answered
}

type peerKey struct {
	url        string
	withSlaves bool
}

// peer returns the server at an address. If withSlaves is set, its status includes its own
// slaves.
func (c *Client) peer(address protocol.Address, withSlaves bool) *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := peerKey{address.URL(), withSlaves}
	p := c.peers[key]
	if p == nil {
		p = &peer{client: c, set: c.current.Load(), address: address, withSlaves: withSlaves}
		c.peers[key] = p
	}
	return p
}

// status asks the server for its status. Another document has another version. The document is
// shared and must not be changed.
func (p *peer) status(ctx context.Context, trace protocol.Trace) (doc *protocol.Status, version uint64, err error) {
	began := time.Now()
	doc, version, err = p.askStatus(ctx, trace)
	if !errors.Is(err, context.Canceled) && !errors.Is(err, errItself) { // else the one who asked has gone, or there is no other server
		p.record(began, err)
	}
	return doc, version, err
}

// record records when the server was asked for its status, and whether it answered.
func (p *peer) record(asked time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.fault
	switch {
	case err == nil:
		if p.asked.Before(asked) {
			p.asked = asked
		}
		p.fault, p.failing = "", time.Time{}
	default:
		if p.failing.IsZero() {
			p.failing = asked
		}
		p.fault = errtext.Line(err.Error())
	}
	if p.fault != was || p.version != p.told {
		p.told = p.version
		p.client.news.Add()
	}
}

func (p *peer) askStatus(ctx context.Context, trace protocol.Trace) (doc *protocol.Status, version uint64, err error) {
	p.mu.Lock()
	etag, before := p.etag, p.last
	p.mu.Unlock()
	answer, err := p.send(ctx, trace, storage.Name{}, etag)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotModified && before != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.last, p.version, nil
	}
	if doc, err = readStatusAnswer(ctx, answer, p.set.Access.Secrets()); err != nil {
		return nil, 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.version = p.client.versions.Add(1)
	p.keep(doc, usableTag(answer.Header.Get("Etag")))
	return doc, p.version, nil
}

// maxKept bounds the statuses of all peers together that are kept, in bytes.
const maxKept = 1 << 30

// keep keeps the server's status, if there is room for it beside those of others; p.mu is held.
func (p *peer) keep(doc *protocol.Status, etag string) {
	size := int64(doc.Size())
	if p.set.kept.Add(size-p.size) > maxKept {
		p.set.kept.Add(-size)
		doc, etag, size = nil, "", 0
	}
	p.last, p.etag, p.size = doc, etag, size
}

// mirror asks the server for the status of one mirror. If there is none of that name, the error is
// mirror.ErrUnknown.
func (p *peer) mirror(ctx context.Context, trace protocol.Trace, name storage.Name) (*protocol.Status, error) {
	answer, err := p.send(ctx, trace, name, "")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return nil, mirror.ErrUnknown
	}
	return readStatusAnswer(ctx, answer, p.set.Access.Secrets())
}

// send requests a status. The wait that it asks for is a little shorter than ctx, so that a server
// which waits for its own slaves can say so in time.
func (p *peer) send(ctx context.Context, trace protocol.Trace, name storage.Name, etag string) (*http.Response, error) {
	query := url.Values{"format": {"json"}}
	if !p.withSlaves {
		query.Set("upstream", "0")
	} else if deadline, ok := ctx.Deadline(); ok {
		wait := max(time.Until(deadline)*9/10, 0)
		query.Set("wait", strconv.FormatInt(wait.Milliseconds(), 10))
	}
	if name != (storage.Name{}) {
		query.Set("name", name.String())
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.address.URL()+"/x/status?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	trace.Set(r.Header)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	p.set.Access.Authorize(r)
	answer, err := p.set.do(r)
	if err != nil {
		return nil, transportError(ctx, err, p.set.Access.Secrets())
	}
	return answer, nil
}

// usableTag returns an ETag if it can be sent back, else nothing.
func usableTag(tag string) string {
	if len(tag) > 256 || strings.ContainsFunc(tag, func(c rune) bool { return c < ' ' || c > '~' }) {
		return ""
	}
	return tag
}

// readStatusAnswer reads the status in an answer, which may be anything else instead.
func readStatusAnswer(ctx context.Context, answer *http.Response, secrets []string) (*protocol.Status, error) {
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	says := errtext.SanitizeLine(answer.Status, secrets)
	switch {
	case answer.StatusCode == http.StatusOK && kind == "text/html":
		return nil, errors.New("it answered with a page (text/html), and not with its status")
	case answer.StatusCode == http.StatusOK:
		if err := protocol.CheckEncoding(answer.Header, secrets); err != nil {
			return nil, fmt.Errorf("its status cannot be read: %w", err)
		}
		doc, err := protocol.ReadStatus(answer.Body, secrets)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return doc, err
	case answer.StatusCode/100 == 3:
		return nil, fmt.Errorf("it answered with a redirect (%s), which is not followed", says)
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, errtext.MaxWords)) // an error of reading adds nothing to the status code
	words := errtext.SanitizeLine(string(text), secrets)
	if answer.StatusCode == http.StatusUnauthorized {
		return nil, fmt.Errorf("it has another token than this server: the keys token and read_token must be the same on all servers of the cluster (%s)", says)
	}
	if kind == "text/html" || words == "" {
		return nil, fmt.Errorf("it answered %s", says)
	}
	return nil, fmt.Errorf("it answered %s: %w", says, errors.New(words))
}
