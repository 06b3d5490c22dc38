// Package smarthttp reads the requests of git clients over HTTP (gitprotocol-http(5)): the mirror's
// name, the service, the version of the protocol, and the body with the objects that a client wants
// and has.
package smarthttp

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/pktline"
	"github.com/reconquest/sould/internal/storage"
)

// contentType is the content type of a request's body.
const contentType = "application/x-git-upload-pack-request"

// Limits of the body of a clone or fetch, which has a line of about 50 bytes for each object that
// the client wants or has.
const (
	maxBody   = 64 << 20    // bytes, after inflation: more than a million objects
	smallBody = 64 << 10    // bytes that are kept in memory; a larger body goes to a file
	maxLarge  = 16          // larger bodies that are read at the same time
	largeTime = time.Minute // for the rest of a larger body, since others wait for the place
)

// Reader reads the bodies of requests. Its methods are safe for concurrent use.
type Reader struct {
	dir    string       // for large bodies
	budget *conn.Budget // of bodies in memory while they arrive
	large  limiter.Limiter
}

// NewReader returns a reader that writes large bodies to files in dir, and counts others against
// budget.
func NewReader(dir string, budget *conn.Budget) *Reader {
	r := &Reader{dir: dir, budget: budget}
	r.large.Resize(maxLarge)
	return r
}

// Error is the error of an invalid request.
type Error struct {
	Kind Kind
	Err  error
}

// Kind is a kind of error.
type Kind int

const (
	Malformed Kind = iota // the request makes no sense
	Forbidden             // the service does not exist
	WrongType             // the body has another type or encoding
	TooLarge              // the body is too large
)

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func refuse(kind Kind, format string, args ...any) error {
	return &Error{kind, fmt.Errorf(format, args...)}
}

// Names returns the mirrors that the path of a request may name, the preferred one first: "x.git" is
// the mirror x.git or, if there is none, the mirror x. The error is that of storage.ParseName.
func Names(raw string) ([]storage.Name, error) {
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
	case shortErr == nil: // the name with .git is too long
		return []storage.Name{without}, nil
	default:
		return nil, err
	}
}

// Service reads the service in the query of a client's first request: git-upload-pack or
// git-receive-pack. The error is an *Error.
func Service(rawQuery string) (string, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", refuse(Malformed, "the query is malformed: %w", err)
	}
	switch service := query.Get("service"); service {
	case "git-upload-pack", "git-receive-pack":
		return service, nil
	case "":
		return "", refuse(Malformed, "only the smart HTTP protocol is served (?service=git-upload-pack); git speaks it since version 1.6.6")
	default:
		return "", refuse(Forbidden, "there is no service %q; git-upload-pack is served", errtext.Word(service, 40))
	}
}

// Version returns the highest version, up to 2, that the headers Git-Protocol offer (git(1),
// GIT_PROTOCOL). Nothing else in them is passed on to git.
func Version(headers []string) int {
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

// Request is the inflated body of a request: in memory, or in a file without a name.
type Request struct {
	small   []byte
	file    *os.File // nil if the body is in memory
	size    int64
	release func() // frees the place of a large body
}

// NewRequest is a request with that body.
func NewRequest(body []byte) *Request { return &Request{small: body, size: int64(len(body))} }

// Reader returns a reader of the body from its beginning.
func (b *Request) Reader() io.Reader {
	if b.file == nil {
		return bytes.NewReader(b.small)
	}
	return io.NewSectionReader(b.file, 0, b.size)
}

// Close closes the file, if there is one.
func (b *Request) Close() {
	if b.file != nil {
		b.file.Close()
		b.release()
	}
}

// Is reports whether the request is this command of version 2. git says most commands first, and
// some behind its capabilities.
func (b *Request) Is(command string) bool {
	p := pktline.NewReader(b.Reader())
	for range maxCapabilities {
		line, special, err := p.Next()
		if err != nil || special != "" {
			return false
		}
		if said, ok := strings.CutPrefix(pktline.Text(line), "command="); ok {
			return said == command
		}
	}
	return false
}

// maxCapabilities is how many lines of a request are read to find its command. git sends five.
const maxCapabilities = 100

// Contains returns the commit that the answer must contain, which a client names in version 2 of
// the protocol by git's --server-option=contains=<commit>; empty for none.
func (b *Request) Contains() (commit string, err error) {
	p := pktline.NewReader(b.Reader())
	for {
		line, special, err := p.Next()
		if err != nil || special != "" { // the end of what comes before the arguments
			return commit, nil
		}
		word, found := strings.CutPrefix(pktline.Text(line), "server-option=contains=")
		switch {
		case !found:
		case !git.IsID(strings.ToLower(word)):
			return "", refuse(Malformed, "contains=%q is not a full commit id", errtext.Word(word, 100))
		default:
			commit = strings.ToLower(word)
		}
	}
}

// Read reads the whole body of a request, so that git is not started for a client that has yet to
// say what it wants, and checks that git's packets are what it is made of. The error is an *Error, limiter.ErrBusy, or an error of the file.
func (in *Reader) Read(w http.ResponseWriter, r *http.Request) (*Request, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != contentType {
		return nil, refuse(WrongType, "the body must be %s, not %q", contentType, errtext.Word(r.Header.Get("Content-Type"), 100))
	}
	control := http.NewResponseController(w)
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxBody)
	paced := conn.NewPacedReader(body, control)
	body = paced
	switch coding := strings.ToLower(r.Header.Get("Content-Encoding")); coding {
	case "", "identity":
	case "gzip", "x-gzip":
		inflated, err := gzip.NewReader(body)
		if err != nil {
			return nil, bodyError(err)
		}
		body = inflated
	default:
		w.Header().Set("Accept-Encoding", "gzip")
		return nil, refuse(WrongType, "the body's encoding %q is unknown; there is gzip", errtext.Word(coding, 40))
	}
	b, err := in.readAll(r, paced, io.LimitReader(body, maxBody+1))
	if err == nil && b.size > maxBody {
		b.Close()
		err = &http.MaxBytesError{Limit: maxBody}
	}
	if err != nil {
		return nil, bodyError(err)
	}
	err = control.SetReadDeadline(time.Time{})
	if err == nil {
		err = b.check()
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// check returns an *Error if the body is not made of git's packets.
func (b *Request) check() error {
	if err := pktline.Check(b.Reader()); err != nil {
		return refuse(Malformed, "the body: %w", err)
	}
	return nil
}

// readAll reads body to its end. paced is the reader below it.
func (in *Reader) readAll(r *http.Request, paced *conn.PacedReader, body io.Reader) (b *Request, err error) {
	var small bytes.Buffer
	counted := in.budget.Count(body)
	defer counted.Done()
	n, err := io.CopyN(&small, counted, smallBody)
	if err == io.EOF {
		return &Request{small: small.Bytes(), size: n}, nil
	}
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if err := in.large.Acquire(r.Context(), host); err != nil {
		return nil, err
	}
	paced.Restart(largeTime)
	b = &Request{release: in.large.Release}
	if b.file, err = os.CreateTemp(in.dir, "request-*"); err != nil {
		b.release()
		return nil, err
	}
	err = os.Remove(b.file.Name()) // its content lasts as long as it is open
	if err == nil {
		b.size, err = io.Copy(b.file, io.MultiReader(&small, body))
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// bodyError turns an error of reading a body into one that Read returns.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	var path *os.PathError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(TooLarge, "the body has more than %d bytes, inflated", maxBody)
	case errors.As(err, &path), errors.Is(err, limiter.ErrBusy):
		return err
	default:
		return refuse(Malformed, "can't read the body: %w", err)
	}
}
