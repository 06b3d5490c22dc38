package main

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
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/storage"
)

// sibling is another server of the cluster, and what it last told of itself. As long as
// nothing changes there, asking it costs one short exchange, however many mirrors it has.
type sibling struct {
	address Address
	set     *settings
	whole   bool           // it is to tell of its own slaves too
	serials *atomic.Uint64 // numbers what all siblings tell

	mu     sync.Mutex // guards all below
	etag   string     // of what it last told; empty if it does not say
	told   *statusDocument
	serial uint64 // of what it last told
}

// siblings are all that a server knows.
type siblings struct {
	serials atomic.Uint64
	mu      sync.Mutex // guards all below
	set     *settings
	known   map[siblingKey]*sibling
}

type siblingKey struct {
	url   string
	whole bool
}

func newSiblings() *siblings {
	return &siblings{known: make(map[siblingKey]*sibling)}
}

// at returns the sibling at an address. Whole is whether it is asked about its own slaves
// too, or about its own mirrors only.
func (all *siblings) at(address Address, whole bool) *sibling {
	all.mu.Lock()
	defer all.mu.Unlock()
	key := siblingKey{address.url, whole}
	b := all.known[key]
	if b == nil {
		b = &sibling{address: address, set: all.set, whole: whole, serials: &all.serials}
		all.known[key] = b
	}
	return b
}

// use puts settings in force, and forgets what siblings have told: the configuration may
// name others now.
func (all *siblings) use(set *settings) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.set = set
	clear(all.known)
}

// Status asks the sibling what it has to tell. The request has come through the servers
// of via. changed is false if it tells what it told before. The document is shared and
// must not be changed; the same one is returned as long as nothing changes.
func (b *sibling) Status(ctx context.Context, via []string) (doc *statusDocument, changed bool, err error) {
	told, _, changed, err := b.ask(ctx, via)
	return told, changed, err
}

// ask is Status that also numbers what was told: equal numbers mean equal documents.
func (b *sibling) ask(ctx context.Context, via []string) (doc *statusDocument, serial uint64, changed bool, err error) {
	b.mu.Lock()
	etag, before := b.etag, b.told
	b.mu.Unlock()
	answer, err := b.send(ctx, via, storage.Name{}, etag)
	if err != nil {
		return nil, 0, false, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotModified && before != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.told, b.serial, false, nil
	}
	if doc, err = readStatusAnswer(ctx, answer, b.set.accessPolicy().Secrets()); err != nil {
		return nil, 0, false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told, b.etag, b.serial = doc, usableTag(answer.Header.Get("Etag")), b.serials.Add(1)
	return doc, b.serial, true, nil
}

// Mirror asks the sibling about one mirror alone. The error is errUnknownMirror if it has
// none of that name.
func (b *sibling) Mirror(ctx context.Context, via []string, name storage.Name) (*statusDocument, error) {
	answer, err := b.send(ctx, via, name, "")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return nil, errUnknownMirror
	}
	return readStatusAnswer(ctx, answer, b.set.accessPolicy().Secrets())
}

// send sends the request. It asks for an answer a little before ctx ends, so that one
// that waits for slaves of its own can say so.
func (b *sibling) send(ctx context.Context, via []string, name storage.Name, etag string) (*http.Response, error) {
	query := url.Values{"format": {"json"}}
	if !b.whole {
		query.Set("upstream", "0")
	} else if deadline, ok := ctx.Deadline(); ok {
		wait := max(time.Until(deadline)*9/10, 0)
		query.Set("wait", strconv.FormatInt(wait.Milliseconds(), 10))
	}
	if name != (storage.Name{}) {
		query.Set("name", name.String())
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.address.url+"/x/status?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set(viaHeader, strings.Join(via, ", "))
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	b.set.accessPolicy().Authorize(r)
	answer, err := b.set.client.Do(r)
	if err != nil {
		return nil, errtext.RedactError(transportError(ctx, err), b.set.accessPolicy().Secrets())
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
func readStatusAnswer(ctx context.Context, answer *http.Response, secrets []string) (*statusDocument, error) {
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	switch {
	case answer.StatusCode == http.StatusOK && kind == "text/html":
		return nil, errors.New("it answered with a page (text/html), and not with its status")
	case answer.StatusCode == http.StatusOK:
		doc, err := readStatus(answer.Body, secrets)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return doc, err
	case answer.StatusCode/100 == 3:
		return nil, fmt.Errorf("it answered with a redirect (%s), which is not followed", errtext.SanitizeLine(answer.Status, secrets))
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, errtext.MaxWords)) // whatever it says, it is no status
	words := errtext.SanitizeLine(string(text), secrets)
	if kind == "text/html" || words == "" {
		return nil, fmt.Errorf("it answered %s", errtext.SanitizeLine(answer.Status, secrets))
	}
	return nil, fmt.Errorf("it answered %s: %w", errtext.SanitizeLine(answer.Status, secrets), errors.New(words))
}
