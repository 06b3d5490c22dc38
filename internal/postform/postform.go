// Package postform reads the form that a POST for a mirror has as its body, and says what is wrong with it in
// words for who writes such a request by hand.
package postform

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/protocol"
)

// maxForm bounds the body of a POST, in bytes.
const maxForm = 64 << 10

// Example shows who has sent a wrong POST a right one.
const Example = `curl --data "name=my/mirror&origin=https://git.example/my.git" http://<this server>/`

// Kind is what is wrong with a form.
type Kind int

const (
	Malformed Kind = iota // it cannot be read, or lacks a field
	WrongType             // the body is said to be something else
	TooLarge              // the body is longer than maxForm
)

// Error is what is wrong with a form.
type Error struct {
	Kind Kind
	err  error
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

func fail(k Kind, format string, args ...any) error { return &Error{k, fmt.Errorf(format, args...)} }

// Read reads the fields of a request's body, and of nothing else. While it arrives, it counts against bodies.
// The error is an *Error, limiter.ErrBusy, or that of the connection's deadlines.
func Read(w http.ResponseWriter, r *http.Request, bodies *conn.Budget) (url.Values, error) {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != protocol.FormType {
			return nil, fail(WrongType, "the body must be %s, not %q: %s", protocol.FormType, errtext.Word(kind, 100), Example)
		}
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(conn.BodyTimeout)); err != nil {
		return nil, err
	}
	counted := bodies.Count(http.MaxBytesReader(w, r.Body, maxForm))
	defer counted.Done()
	body, err := io.ReadAll(counted)
	if err != nil {
		return nil, readError(err)
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fail(Malformed, "the body is not a form (%s): %w", protocol.FormType, err)
	}
	return form, nil
}

func readError(err error) error {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return fail(TooLarge, "the body has more than %d bytes", maxForm)
	}
	if errors.Is(err, limiter.ErrBusy) {
		return err
	}
	return fail(Malformed, "can't read the body: %w", err)
}

// Check checks that a form has what every POST needs. query is that of the request, which is not read for
// anything else: what stands there shows what the client has misunderstood. The error is an *Error.
func Check(form, query url.Values) error {
	var missing []string
	inQuery := false
	for _, field := range []string{"name", "origin"} {
		if form.Get(field) == "" {
			missing = append(missing, field)
			inQuery = inQuery || query.Has(field)
		}
	}
	what := strings.Join(missing, " and ")
	switch {
	case len(missing) == 0:
		return nil
	case inQuery:
		return fail(Malformed, "%s must be in the body of the POST, and not in its URL: %s", what, Example)
	default:
		return fail(Malformed, "the body of the POST lacks %s: %s", what, Example)
	}
}
