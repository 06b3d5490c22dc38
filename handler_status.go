package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/requestlog"
	"github.com/reconquest/sould/internal/status"
)

// handleStatus is GET /x/status: what is going on. A client that has the current answer and asks to
// wait gets the next one. Another server, which asks in its own rounds, is answered at once.
func (s *Server) handleStatus(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	q, err := status.ParseQuery(r.URL.RawQuery, wantsJSON(r), s.settings().Timeout)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	trace, err := requestlog.TraceOf(r)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	version := s.mirrors.insight.Version() // before the answer
	answer, err := s.answerStatus(r, q, trace)
	isCurrent := func() bool {
		return err == nil && conditional.Precondition(r.Header, answer.ETag) == http.StatusNotModified
	}
	if left := q.Hold() - time.Since(began); left > 0 && trace.FromClient() && !isPeer(r) && isCurrent() {
		s.mirrors.insight.AwaitChange(r.Context(), s.closing, version, left, func() bool {
			// With the id of before, slaves would take it for the same request, and not ask theirs.
			answer, err = s.answerStatus(r, q, protocol.NewClientTrace())
			return !isCurrent()
		})
	}
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Etag", answer.ETag)
	header.Set("Cache-Control", "no-cache")
	header.Set("Vary", "Accept")
	if status := conditional.Precondition(r.Header, answer.ETag); status != 0 {
		return answerCondition(w, status)
	}
	header.Set("Content-Type", answer.Type)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(answer.Body)))
	writeBody(w, r, http.StatusOK, answer.Body)
	return nil
}

// answerStatus is the answer to a query now.
func (s *Server) answerStatus(r *http.Request, q status.Query, trace protocol.Trace) (status.Answer, error) {
	isNeeded := func(etag string) bool { return conditional.Precondition(r.Header, etag) == 0 }
	by := status.Asker{Trace: trace, Peer: isPeer(r)}
	return s.mirrors.status.Answer(r.Context(), s.settings().statusOptions(), q, by, isNeeded)
}
