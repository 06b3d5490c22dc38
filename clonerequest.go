package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/storage"
)

// Limits of what a client says when it clones or fetches: a line of about 50 bytes for
// each object that it wants or has.
const (
	maxCloneBody = 64 << 20        // bytes, after inflation: more than a million objects
	smallBody    = 64 << 10        // bytes up to which a request is kept in memory
	maxBigBodies = 16              // larger ones that are taken in at once, each into a file
	bigBodyWait  = 5 * time.Minute // for a place among these
	bigBodyTime  = time.Minute     // to send the rest then, since others wait for the place
)

// clones is what the requests of git clients share.
type clones struct {
	dir    string          // for large requests
	places limiter.Limiter // for git processes that work for clients
	bodies limiter.Limiter // for large requests
	asking limiter.Limiter // for the one who asks what git can do
	coming *conn.Budget    // of requests that are not whole yet

	mu        sync.Mutex // guards greetings
	greetings map[greetingKey]git.Greeting
}

// greetingKey is what a greeting depends on. Which git there is, is looked at again
// after a reload.
type greetingKey struct {
	set               *settings
	version, idLength int
}

// use puts settings in force.
func (c *clones) use(set *settings) {
	c.places.Resize(set.MaxClones)
	c.bodies.Resize(maxBigBodies)
	c.asking.Resize(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greetings = make(map[greetingKey]git.Greeting)
}

func (c *clones) greeting(key greetingKey) (git.Greeting, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, ok := c.greetings[key]
	return g, ok
}

func (c *clones) remember(key greetingKey, g git.Greeting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greetings[key] = g
}

// cloneNames are the names that a client may mean, the likeliest first: "x.git" is the
// mirror x.git or, if there is none, x.
func cloneNames(raw string) ([]storage.Name, error) {
	exact, err := storage.ParseName(raw)
	short, isSuffixed := strings.CutSuffix(raw, ".git")
	if !isSuffixed {
		if err != nil {
			return nil, err
		}
		return []storage.Name{exact}, nil
	}
	without, shortErr := storage.ParseName(short)
	if strings.HasSuffix(short, "/") {
		shortErr = err
	}
	switch {
	case err == nil && shortErr == nil:
		return []storage.Name{exact, without}, nil
	case err == nil:
		return []storage.Name{exact}, nil
	case shortErr == nil: // too long with it
		return []storage.Name{without}, nil
	default:
		return nil, err
	}
}

// parseService reads the query of a client's first question.
func parseService(rawQuery string) (string, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", fail(kindBadRequest, "the query is malformed: %w", err)
	}
	switch service := query.Get("service"); service {
	case "git-upload-pack", "git-receive-pack":
		return service, nil
	case "":
		return "", fail(kindBadRequest, "only the smart HTTP protocol is served (?service=git-upload-pack); git speaks it since version 1.6.6")
	default:
		return "", fail(kindForbidden, "there is no service %.40q; git-upload-pack is served", service)
	}
}

// protocolVersion is the highest version that a client offers and that is known here.
// Nothing else of its words is passed on (git(1), GIT_PROTOCOL).
func protocolVersion(headers []string) int {
	version := 0
	for _, header := range headers {
		for word := range strings.SplitSeq(header, ":") {
			value, ok := strings.CutPrefix(strings.TrimSpace(word), "version=")
			if n, err := strconv.Atoi(value); ok && err == nil && n <= 2 {
				version = max(version, n)
			}
		}
	}
	return version
}

// requestBody is what a client wants and has, inflated: in memory, or in a file that
// has no name.
type requestBody struct {
	small []byte
	file  *os.File
	size  int64
	leave func()
}

// Reader reads it from its beginning.
func (b *requestBody) Reader() io.Reader {
	if b.file == nil {
		return bytes.NewReader(b.small)
	}
	return io.NewSectionReader(b.file, 0, b.size)
}

// Close lets go of it.
func (b *requestBody) Close() {
	if b.file != nil {
		b.file.Close()
		b.leave()
	}
}

// isListing reports whether it asks for a list of refs, in version 2.
func isListing(b *requestBody) bool {
	const command = "command=ls-refs"
	start := make([]byte, 4+len(command))
	_, err := io.ReadFull(b.Reader(), start)
	return err == nil && string(start[4:]) == command
}

// read takes in a client's request, all of it: git is started only for a client that
// has said what it wants.
func (c *clones) read(w http.ResponseWriter, r *http.Request) (*requestBody, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != gitRequest {
		return nil, fail(kindMediaType, "the body must be %s, not %q", gitRequest, errtext.Clip(r.Header.Get("Content-Type"), 100))
	}
	control := http.NewResponseController(w)
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxCloneBody)
	paced := conn.NewPacedReader(body, control)
	body = paced
	switch coding := strings.ToLower(r.Header.Get("Content-Encoding")); coding {
	case "", "identity":
	case "gzip", "x-gzip":
		inflated, err := gzip.NewReader(body)
		if err != nil {
			return nil, cloneBodyError(err)
		}
		body = inflated
	default:
		w.Header().Set("Accept-Encoding", "gzip")
		return nil, fail(kindMediaType, "the body's encoding %.40q is unknown; there is gzip", coding)
	}
	b, err := c.keep(r, paced, io.LimitReader(body, maxCloneBody+1))
	if err == nil && b.size > maxCloneBody {
		b.Close()
		err = &http.MaxBytesError{Limit: maxCloneBody}
	}
	if err != nil {
		return nil, busy(w, cloneBodyError(err))
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// keep reads to the end of what is sent.
func (c *clones) keep(r *http.Request, paced *conn.PacedReader, body io.Reader) (b *requestBody, err error) {
	var small bytes.Buffer
	counted := c.coming.Count(body)
	defer counted.Done()
	n, err := io.CopyN(&small, counted, smallBody)
	if err == io.EOF {
		return &requestBody{small: small.Bytes(), size: n}, nil
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), bigBodyWait, limiter.ErrBusy)
	defer cancel()
	if err := c.bodies.Acquire(ctx, access.HostOf(r.RemoteAddr)); err != nil {
		return nil, err
	}
	paced.Restart(bigBodyTime)
	b = &requestBody{leave: c.bodies.Release}
	if b.file, err = os.CreateTemp(c.dir, "request-*"); err != nil {
		b.leave()
		return nil, err
	}
	err = os.Remove(b.file.Name()) // it is there as long as it is open
	if err == nil {
		b.size, err = io.Copy(b.file, io.MultiReader(&small, body))
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// cloneBodyError is why a request could not be taken in.
func cloneBodyError(err error) error {
	var tooLarge *http.MaxBytesError
	var path *os.PathError
	switch {
	case errors.As(err, &tooLarge):
		return fail(kindTooLarge, "the body has more than %d bytes, inflated", maxCloneBody)
	case errors.As(err, &path), errors.Is(err, limiter.ErrBusy):
		return err
	default:
		return fail(kindBadRequest, "can't read the body: %w", err)
	}
}
