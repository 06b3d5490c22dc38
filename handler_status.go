package main

import (
	"net/http"
	"strconv"

	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/requestlog"
	"github.com/reconquest/sould/internal/status"
)

// handleStatus is GET /x/status: what is going on.
func (s *Server) handleStatus(w http.ResponseWriter, r *http.Request) error {
	set := s.settings()
	q, err := status.ParseQuery(r.URL.RawQuery, wantsJSON(r), set.Timeout)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	trace, err := requestlog.TraceOf(r)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	isNeeded := func(etag string) bool { return conditional.Precondition(r.Header, etag) == 0 }
	answer, err := s.mirrors.status.Answer(r.Context(), set.statusOptions(), q, status.Asker{Trace: trace, Peer: isPeer(r)}, isNeeded)
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
