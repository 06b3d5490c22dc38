package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/respond"
)

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
