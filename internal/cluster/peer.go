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

// Peer is another server of the cluster, and what it last told of itself. As long as
// nothing changes there, asking it costs one short exchange, however many mirrors it has.
type Peer struct {
	client  *Client
	set     *settings
	address protocol.Address
	whole   bool // it is to tell of its own slaves too

	mu      sync.Mutex // guards all below
	etag    string     // of what it last told; empty if it does not say
	last    *protocol.Status
	size    int64  // of it
	version uint64 // of what it last told
}

type peerKey struct {
	url   string
	whole bool
}

// Peer returns the server at an address. whole is whether it is asked about its own slaves
// too, or about its own mirrors only.
func (c *Client) Peer(address protocol.Address, whole bool) *Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := peerKey{address.URL(), whole}
	p := c.peers[key]
	if p == nil {
		p = &Peer{client: c, set: c.current.Load(), address: address, whole: whole}
		c.peers[key] = p
	}
	return p
}

// Status asks the server for its status. version is a number that differs whenever the document
// does; changed is false if it is the document that was returned before. The document is shared
// and must not be changed.
func (p *Peer) Status(ctx context.Context, trace protocol.Trace) (doc *protocol.Status, version uint64, changed bool, err error) {
	p.mu.Lock()
	etag, before := p.etag, p.last
	p.mu.Unlock()
	answer, err := p.send(ctx, trace, storage.Name{}, etag)
	if err != nil {
		return nil, 0, false, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotModified && before != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.last, p.version, false, nil
	}
	if doc, err = readStatusAnswer(ctx, answer, p.set.Access.Secrets()); err != nil {
		return nil, 0, false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.version = p.client.versions.Add(1)
	p.keep(doc, usableTag(answer.Header.Get("Etag")))
	return doc, p.version, true, nil
}

// maxKept is the size of what is kept of all that other servers have told.
const maxKept = 1 << 30

// keep keeps what the server has told, as long as there is room for it beside what others have.
// p.mu is held.
func (p *Peer) keep(doc *protocol.Status, etag string) {
	size := int64(doc.Size())
	if p.set.kept.Add(size-p.size) > maxKept {
		p.set.kept.Add(-size)
		doc, etag, size = nil, "", 0
	}
	p.last, p.etag, p.size = doc, etag, size
}

// Mirror asks the server about one mirror alone. The error is mirror.ErrUnknown if it has
// none of that name.
func (p *Peer) Mirror(ctx context.Context, trace protocol.Trace, name storage.Name) (*protocol.Status, error) {
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

// send sends the request. It asks for an answer a little before ctx ends, so that one
// that waits for slaves of its own can say so.
func (p *Peer) send(ctx context.Context, trace protocol.Trace, name storage.Name, etag string) (*http.Response, error) {
	query := url.Values{"format": {"json"}}
	if !p.whole {
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
		return nil, p.set.redact(transportError(ctx, err))
	}
	return answer, nil
}

// usableTag is an ETag that can be sent back, or nothing.
func usableTag(tag string) string {
	if len(tag) > 256 || strings.ContainsFunc(tag, func(c rune) bool { return c < ' ' || c > '~' }) {
		return ""
	}
	return tag
}

// readStatusAnswer reads a status out of an answer that may be anything.
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
	text, _ := io.ReadAll(io.LimitReader(answer.Body, errtext.MaxWords)) // whatever it says, it is no status
	words := errtext.SanitizeLine(string(text), secrets)
	if kind == "text/html" || words == "" {
		return nil, fmt.Errorf("it answered %s", says)
	}
	return nil, fmt.Errorf("it answered %s: %w", says, errors.New(words))
}
