package main

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/insight"
	"github.com/reconquest/sould/internal/requestlog"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/status"
)

// handleStatus is GET /x/status: what is going on. A client that has the current answer and asks to
// wait gets the next one. Another server, which asks in its own rounds, is answered at once.
func (s *Server) handleStatus(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	q, err := status.ParseQuery(r.URL.RawQuery, respond.WantsJSON(r), s.settings().Timeout)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	trace, err := requestlog.TraceOf(r)
	if err != nil {
		return &fault{kindBadRequest, err}
	}
	by := status.Asker{Trace: trace, Peer: isPeer(r)}
	isNeeded := func(etag string) bool { return conditional.Precondition(r.Header, etag) == 0 }
	answer, err := s.mirrors.status.Answer(r.Context(), s.settings().statusOptions(), q, by, isNeeded)
	if err == nil && trace.FromClient() && !by.Peer && isCurrent(r, q, answer) {
		answer, err = s.awaitStatus(r, q, answer, q.Hold()-time.Since(began))
	}
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Etag", answer.ETag)
	header.Set("Cache-Control", "no-cache")
	header.Set("Vary", "Accept")
	if status := conditional.Precondition(r.Header, answer.ETag); status != 0 {
		return respond.Condition(w, status)
	}
	header.Set("Content-Type", answer.Type)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(answer.Body)))
	respond.Body(w, r, http.StatusOK, answer.Body)
	return nil
}

// isCurrent reports whether an answer tells a client nothing that it does not know.
func isCurrent(r *http.Request, q status.Query, answer status.Answer) bool {
	if q.IsSince() {
		return !answer.News
	}
	return conditional.Precondition(r.Header, answer.ETag) == http.StatusNotModified
}

// awaitStatus waits for the answer after one that the client has, for as long as hold. If too many wait
// already, it does not.
func (s *Server) awaitStatus(r *http.Request, q status.Query, had status.Answer, hold time.Duration) (status.Answer, error) {
	look := s.mirrors.insight
	if hold <= 0 || !look.TakePlace() {
		return had, nil
	}
	defer look.LeavePlace()
	ctx, cancel := context.WithTimeout(r.Context(), min(hold, insight.MaxWatch))
	defer cancel()
	return s.mirrors.status.Await(ctx, s.closing, func() *status.Options { return s.settings().statusOptions() }, q, had)
}
