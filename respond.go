package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/protocol"
)

// wantsJSON reports whether the client asks for JSON.
func wantsJSON(r *http.Request) bool {
	return conditional.Accepts(r.Header, "application/json") || conditional.Accepts(r.Header, protocol.StreamType)
}

// writeReport answers a request with a report, in the form that the client asks
// for.
func writeReport(w http.ResponseWriter, r *http.Request, rep *protocol.Report) error {
	var text, kind string
	if wantsJSON(r) {
		encoded, err := json.Marshal(rep)
		if err != nil {
			return err
		}
		text, kind = string(encoded)+"\n", "application/json"
	} else {
		text, kind = rep.String(), "text/plain; charset=utf-8"
	}
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	steady := conn.NewDeadlineWriter(w) // it may be megabytes
	w.WriteHeader(rep.Status)
	_, _ = io.WriteString(steady, text) // the client may be gone; that is no failure of ours
	return nil
}

// writeBody sends a status and a body to a client that may read slowly.
func writeBody(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	steady := conn.NewDeadlineWriter(w)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = steady.Write(body) // the client may be gone; that is no failure of ours
	}
}

// writeError is the one place where an error becomes an answer, and a line in the
// log.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone, and that is why it failed
	}
	rep := &protocol.Report{Status: statusOf(err), Outcome: protocol.Failure(err)}
	s.rejected.Count(reason(err))
	if more := (*explained)(nil); errors.As(err, &more) {
		rep.Why = more.url
	}
	log := s.log.With("client", r.RemoteAddr, "method", errtext.Word(r.Method, 40), "path", errtext.Word(r.URL.Path, 200), "status", rep.Status)
	switch {
	case errors.Is(err, errStarting), errors.Is(err, mirror.ErrClosing): // each probe is told so, at each start and end
		log.Debug("not ready", "err", err)
	case errors.As(err, new(*ondemand.Failure)): // the log has it from the run that has failed, once for all
		log.Debug("no mirror for a reader", "err", err)
	case rep.Status >= 500:
		log.Error("can't answer", "err", err)
	case r.Method == http.MethodPost, r.Method == http.MethodDelete: // somebody's push was not mirrored
		log.Warn("refused", "err", err)
	}
	setErrorHeaders(w.Header())
	if known := (*unreadable)(nil); errors.As(err, &known) {
		setState(w.Header(), known.known)
	}
	if seconds, ok := comeAgain(err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	_ = writeReport(w, r, rep)
}

// setErrorHeaders takes from an answer that is an error what was said of the content that it
// was to be: a cache would keep the error for as long as that.
func setErrorHeaders(header http.Header) {
	header.Set("Cache-Control", "no-store")
	for _, name := range []string{"Etag", "Accept-Ranges", "Content-Disposition", "Repr-Digest"} {
		header.Del(name)
	}
}

// answerCondition answers a request whose condition decides about it: with 304, or with an
// error.
func answerCondition(w http.ResponseWriter, status int) error {
	if status == http.StatusPreconditionFailed {
		return fail(kindUnsatisfied, "If-Match names another version than there is now")
	}
	w.WriteHeader(status)
	return nil
}

// The values of X-State. They are shared by all answers, and must not be changed.
var succeeded, failed = []string{string(mirror.Success)}, []string{string(mirror.Failed)}

// setState says of what state and age an answer about a mirror is.
func setState(header http.Header, snap *mirror.Snapshot) {
	header["X-State"] = failed
	if snap.Outcome == mirror.Success {
		header["X-State"] = succeeded
	}
	if !snap.Date().IsZero() {
		header["X-Date"] = []string{snap.DateText}
	}
}
