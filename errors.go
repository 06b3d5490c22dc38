package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/reconquest/hierr-go"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/spool"
)

// kind is what a failed request means to its client.
type kind int

const (
	kindBroken       kind = iota // the server could not do it
	kindBadRequest               // the request makes no sense
	kindUnauthorized             // it lacks a token
	kindForbidden                // a browser was made to send it by another site, or the origin is not allowed
	kindNotFound                 // there is no such thing
	kindMethod                   // the thing does not take that method
	kindConflict                 // what is there stands against it
	kindUnsatisfied              // a condition of the request does not hold
	kindTooLarge                 // the body is too large
	kindMediaType                // the body is no form
	kindMisdirected              // it means another server
	kindUnavailable              // not now
	kindLoop                     // it has come from this very server
)

// statuses is the one place where errors become HTTP statuses.
var statuses = map[kind]int{
	kindBroken:       http.StatusInternalServerError,
	kindBadRequest:   http.StatusBadRequest,
	kindUnauthorized: http.StatusUnauthorized,
	kindForbidden:    http.StatusForbidden,
	kindNotFound:     http.StatusNotFound,
	kindMethod:       http.StatusMethodNotAllowed,
	kindConflict:     http.StatusConflict,
	kindUnsatisfied:  http.StatusPreconditionFailed,
	kindTooLarge:     http.StatusRequestEntityTooLarge,
	kindMediaType:    http.StatusUnsupportedMediaType,
	kindMisdirected:  http.StatusMisdirectedRequest,
	kindUnavailable:  http.StatusServiceUnavailable,
	kindLoop:         http.StatusLoopDetected,
}

// fault is an error that knows what it means to the client.
type fault struct {
	kind kind
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// fail makes a fault of words.
func fail(k kind, format string, args ...any) error {
	return &fault{k, fmt.Errorf(format, args...)}
}

// status is the HTTP status of an error.
func status(err error) int {
	var f *fault
	var c *conflict
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return statuses[f.kind]
	case errors.As(err, &c), errors.Is(err, errEmptyMirror):
		return statuses[kindConflict]
	case errors.As(err, &tooLarge):
		return statuses[kindTooLarge]
	case errors.Is(err, errUnknownMirror), errors.Is(err, errUnknownRef), errors.Is(err, errNoDefault),
		errors.Is(err, git.ErrNotFound), errors.Is(err, git.ErrNoPath):
		return statuses[kindNotFound]
	case errors.Is(err, errClosing), errors.Is(err, git.ErrClosed), errors.Is(err, spool.ErrClosed), errors.Is(err, limiter.ErrBusy):
		return statuses[kindUnavailable]
	default:
		return statuses[kindBroken]
	}
}

// tree renders an error for people: what was tried above why it failed.
//
//	can't fetch
//	└─ fatal: unable to access 'https://git.in.local/x.git/': …
func tree(err error) string { return hierr.String(hierarchy(err)) }

// hierarchy takes an error chain apart. A wrapping error is what stands before
// the text of the error that it wraps.
func hierarchy(err error) error {
	var inner []error
	switch e := err.(type) {
	case *several:
		return branches(e.what, trees(e.reasons)...)
	case *net.OpError, *fs.PathError, *os.LinkError, *os.SyscallError:
		// They are one sentence.
	case interface{ Unwrap() []error }:
		inner = e.Unwrap()
	case interface{ Unwrap() error }:
		if e.Unwrap() != nil {
			inner = []error{e.Unwrap()}
		}
	}
	text := err.Error()
	switch {
	case len(inner) == 0:
		return hierr.Errorf(nil, "%s", clean(text))
	case text == inner[0].Error(): // it adds nothing
		return hierarchy(inner[0])
	}
	last := inner[len(inner)-1]
	if head, ok := strings.CutSuffix(text, ": "+last.Error()); ok {
		return hierr.Errorf(hierr.String(hierarchy(last)), "%s", clean(head))
	}
	if len(inner) > 1 { // errors.Join
		return branches(tree(inner[0]), trees(inner[1:])...)
	}
	return hierr.Errorf(nil, "%s", clean(text))
}

// several is an error with several reasons, none of which stands above the others.
type several struct {
	what    string
	reasons []error
}

func (s *several) Error() string   { return s.what + ": " + errors.Join(s.reasons...).Error() }
func (s *several) Unwrap() []error { return s.reasons }

func trees(errs []error) []string {
	var all []string
	for _, err := range errs {
		all = append(all, tree(err))
	}
	return all
}

// branches puts rendered trees below a line. hierr draws an empty line between
// children that have children; as text they have none.
func branches(top string, below ...string) error {
	children := make([]hierr.NestedError, len(below))
	for i, b := range below {
		children[i] = b
	}
	return hierr.Push(top, children...)
}

// clean makes foreign text fit to be shown: without control characters but line
// ends, and without credentials.
func clean(text string) string {
	return git.Redact(strings.TrimSpace(git.Printable(text)))
}

// clip shortens a text to at most limit bytes, between characters.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xc0 == 0x80 {
		limit--
	}
	return text[:limit] + "…"
}
