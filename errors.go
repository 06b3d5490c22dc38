package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/download"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/postform"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/webhook"
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
	kindMisdirected:  http.StatusMisdirectedRequest,
	kindUnavailable:  http.StatusServiceUnavailable,
	kindLoop:         http.StatusLoopDetected,
}

// reasons are what the metrics call an error, by its status.
var reasons = map[int]string{
	http.StatusBadRequest:            "bad_request",
	http.StatusRequestEntityTooLarge: "bad_request",
	http.StatusUnsupportedMediaType:  "bad_request",
	http.StatusUnprocessableEntity:   "bad_request",
	http.StatusUnauthorized:          "token",
	http.StatusForbidden:             "forbidden",
	http.StatusNotFound:              "not_found",
	http.StatusMethodNotAllowed:      "method",
	http.StatusConflict:              "conflict",
	http.StatusPreconditionFailed:    "condition",
	http.StatusMisdirectedRequest:    "host",
	http.StatusLoopDetected:          "loop",
	http.StatusServiceUnavailable:    "unavailable",
	http.StatusBadGateway:            "origin",
	http.StatusInternalServerError:   "broken",
}

// reasonFull is what the metrics call an error that a client gets because of the number of others.
const reasonFull = "full"

// reason is what the metrics call an error.
func reason(err error) string {
	if errors.Is(err, limiter.ErrBusy) || errors.Is(err, conn.ErrSending) {
		return reasonFull
	}
	return reasons[statusOf(err)]
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

// explained is an error about a mirror, with the URL at which more is said of that.
type explained struct {
	error
	url string
}

func (e *explained) Unwrap() error { return e.error }

// comeAgain says whether a client should come again, and after how many seconds.
func comeAgain(err error) (seconds int, ok bool) {
	if unmade := (*ondemand.Failure)(nil); errors.As(err, &unmade) {
		wait := max(time.Until(unmade.Again), time.Second)
		return int((wait + time.Second - 1) / time.Second), statusOf(err) >= http.StatusInternalServerError
	}
	return 1, errors.As(err, new(*mirror.TooEarly)) || errors.Is(err, limiter.ErrBusy) || errors.Is(err, conn.ErrSending)
}

// requestStatuses are those of what may be wrong with a git client's request.
var requestStatuses = map[smarthttp.Kind]int{
	smarthttp.Malformed: http.StatusBadRequest,
	smarthttp.Forbidden: http.StatusForbidden,
	smarthttp.WrongType: http.StatusUnsupportedMediaType,
	smarthttp.TooLarge:  http.StatusRequestEntityTooLarge,
}

// formStatuses are those of what may be wrong with the form of a POST.
var formStatuses = map[postform.Kind]int{
	postform.Malformed: http.StatusBadRequest,
	postform.WrongType: http.StatusUnsupportedMediaType,
	postform.TooLarge:  http.StatusRequestEntityTooLarge,
}

// deliveryStatuses are those of what may be wrong with a webhook's delivery.
var deliveryStatuses = map[webhook.Kind]int{
	webhook.Unsigned:  http.StatusUnauthorized,
	webhook.Malformed: http.StatusBadRequest,
	webhook.TooLarge:  http.StatusRequestEntityTooLarge,
	webhook.Unheard:   http.StatusUnprocessableEntity,
	webhook.Unmovable: http.StatusConflict,
}

// downloadStatuses are those of what may stand against an archive, a bundle or a digest.
var downloadStatuses = map[download.Kind]int{
	download.NoRoom:  http.StatusServiceUnavailable,
	download.NotKept: http.StatusNotFound,
	download.Shallow: http.StatusConflict,
	download.NotARef: http.StatusBadRequest,
}

// failureStatuses are those of reads for which no mirror can be made.
var failureStatuses = map[ondemand.Kind]int{
	ondemand.Illegal:      http.StatusBadRequest,
	ondemand.Forbidden:    http.StatusForbidden,
	ondemand.NoRepository: http.StatusNotFound,
	ondemand.Nested:       http.StatusNotFound,
	ondemand.OriginDown:   http.StatusBadGateway,
	ondemand.TooLarge:     http.StatusForbidden,
	ondemand.Full:         http.StatusServiceUnavailable,
	ondemand.Later:        http.StatusServiceUnavailable,
}

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
	var f *fault
	var refused *access.Refusal
	var request *smarthttp.Error
	var form *postform.Error
	var delivery *webhook.Error
	var unsent *download.Error
	var c *storage.Conflict
	var unmade *ondemand.Failure
	if errors.As(err, &unmade) && failureStatuses[unmade.Kind] != 0 {
		return failureStatuses[unmade.Kind]
	}
	switch {
	case errors.As(err, &f):
		return statuses[f.kind]
	case errors.As(err, &refused) && refused.WrongHost:
		return statuses[kindMisdirected]
	case errors.As(err, &refused):
		return statuses[kindUnauthorized]
	case errors.As(err, &request):
		return requestStatuses[request.Kind]
	case errors.As(err, &form):
		return formStatuses[form.Kind]
	case errors.As(err, &delivery):
		return deliveryStatuses[delivery.Kind]
	case errors.As(err, &unsent):
		return downloadStatuses[unsent.Kind]
	case errors.As(err, &c), errors.Is(err, mirror.ErrEmpty):
		return statuses[kindConflict]
	case errors.Is(err, respond.ErrOtherVersion):
		return statuses[kindUnsatisfied]
	case errors.Is(err, mirror.ErrUnknown), errors.Is(err, mirror.ErrUnknownRef), errors.Is(err, mirror.ErrNoDefault),
		errors.Is(err, webhook.ErrNoMirror), errors.Is(err, git.ErrNotFound), errors.Is(err, git.ErrNoPath):
		return statuses[kindNotFound]
	case errors.Is(err, limiter.ErrBusy), errors.Is(err, conn.ErrSending), errors.Is(err, archive.ErrNoSum),
		errors.Is(err, storage.ErrTooManyTombstones), errors.Is(err, storage.ErrLost),
		errors.Is(err, mirror.ErrClosing), errors.Is(err, mirror.ErrStarting), errors.Is(err, git.ErrClosed), errors.Is(err, spool.ErrClosed):
		return statuses[kindUnavailable]
	default:
		return statuses[kindBroken]
	}
}

// writeError is the one place where an error becomes an answer, and a line in the log.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone, and that is why it failed
	}
	rep := &protocol.Report{Status: statusOf(err), Outcome: protocol.Failure(err)}
	s.rejected.Count(reason(err))
	if more := (*explained)(nil); errors.As(err, &more) {
		rep.Why = more.url
	}
	log := s.log.With("client", r.RemoteAddr, "method", errtext.Word(r.Method, 40),
		"path", errtext.Word(r.URL.Path, 200), "status", rep.Status)
	switch {
	case errors.Is(err, mirror.ErrStarting), errors.Is(err, mirror.ErrClosing): // each probe is told so, at each start and end
		log.Debug("not ready", "err", err)
	case errors.As(err, new(*ondemand.Failure)): // the log has it from the run that has failed, once for all
		log.Debug("no mirror for a reader", "err", err)
	case rep.Status >= 500:
		log.Error("can't answer", "err", err)
	case r.Method == http.MethodPost, r.Method == http.MethodDelete: // somebody's push was not mirrored
		log.Warn("refused", "err", err)
	}
	respond.SetError(w.Header())
	if known := (*ondemand.Unreadable)(nil); errors.As(err, &known) {
		respond.SetState(w.Header(), known.Known)
	}
	if seconds, ok := comeAgain(err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	_ = writeReport(w, r, rep)
}

// writeReport answers a request with a report.
func writeReport(w http.ResponseWriter, r *http.Request, rep *protocol.Report) error {
	return respond.Document(w, r, rep.Status, rep)
}
