// Package smarthttp reads what git clients ask for over HTTP (gitprotocol-http(5)): the names
// that they may mean, the service, the version, and the body with what they want and have.
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
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/storage"
)

// contentType is that of a request.
const contentType = "application/x-git-upload-pack-request"

// Limits of what a client says when it clones or fetches: a line of about 50 bytes for
// each object that it wants or has.
const (
	maxBody   = 64 << 20    // bytes, after inflation: more than a million objects
	smallBody = 64 << 10    // bytes up to which a request is kept in memory
	maxLarge  = 16          // larger ones that are taken in at once, each into a file
	largeTime = time.Minute // to send the rest then, since others wait for the place
)

// Reader takes in requests. Large ones go to files, so many at a time.
type Reader struct {
	Dir    string       // for large requests
	Budget *conn.Budget // of those that are kept in memory while they come
	large  limiter.Limiter
}

// NewReader returns a reader that puts large requests into a directory.
func NewReader(dir string, budget *conn.Budget) *Reader {
	r := &Reader{Dir: dir, Budget: budget}
	r.large.Resize(maxLarge)
	return r
}

// Error is what is wrong with a request.
type Error struct {
	Kind Kind
	err  error
}

// Kind tells the kinds of what may be wrong.
type Kind int

const (
	Malformed Kind = iota // it makes no sense
	Forbidden             // it is for a service that there is not
	WrongType             // its body is of another kind
	TooLarge
)

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

func refuse(kind Kind, format string, args ...any) error {
	return &Error{kind, fmt.Errorf(format, args...)}
}

// Names are the names that a client may mean, the likeliest first: "x.git" is the
// mirror x.git or, if there is none, x.
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
	case shortErr == nil: // too long with it
		return []storage.Name{without}, nil
	default:
		return nil, err
	}
}

// Service reads the query of a client's first question.
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

// Version is the highest version that a client offers and that is known here.
// Nothing else of its words is passed on (git(1), GIT_PROTOCOL).
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

// Request is what a client wants and has, inflated: in memory, or in a file that
// has no name.
type Request struct {
	small []byte
	file  *os.File
	size  int64
	leave func()
}

// Reader reads it from its beginning.
func (b *Request) Reader() io.Reader {
	if b.file == nil {
		return bytes.NewReader(b.small)
	}
	return io.NewSectionReader(b.file, 0, b.size)
}

// Close lets go of it.
func (b *Request) Close() {
	if b.file != nil {
		b.file.Close()
		b.leave()
	}
}

// IsLsRefs reports whether it asks for a list of refs, in version 2.
func (b *Request) IsLsRefs() bool {
	const command = "command=ls-refs"
	start := make([]byte, 4+len(command))
	_, err := io.ReadFull(b.Reader(), start)
	return err == nil && string(start[4:]) == command
}

// Read takes in a client's request, all of it: git is started only for a client that
// has said what it wants.
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
	b, err := in.keep(r, paced, io.LimitReader(body, maxBody+1))
	if err == nil && b.size > maxBody {
		b.Close()
		err = &http.MaxBytesError{Limit: maxBody}
	}
	if err != nil {
		return nil, bodyError(err)
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// keep reads to the end of what is sent.
func (in *Reader) keep(r *http.Request, paced *conn.PacedReader, body io.Reader) (b *Request, err error) {
	var small bytes.Buffer
	counted := in.Budget.Count(body)
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
	b = &Request{leave: in.large.Release}
	if b.file, err = os.CreateTemp(in.Dir, "request-*"); err != nil {
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

// bodyError is why a request could not be taken in.
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
