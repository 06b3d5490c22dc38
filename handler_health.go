package main

import (
	"io"
	"net/http"

	"github.com/reconquest/sould/internal/mirror"
)

// handleHealth is GET /x/health: whether this server should be sent requests.
func (s *Server) handleHealth(w http.ResponseWriter, r *http.Request) error {
	if s.stopping.Load() {
		return &fault{kindUnavailable, mirror.ErrClosing}
	}
	if err := s.dir.Check(r.Context()); err != nil {
		return fail(kindUnavailable, "can't use the storage: %w", err)
	}
	return sayOK(w)
}

// handleLive is GET /x/health/live: whether this process answers at all. If it does not, a platform
// may start it anew; a storage that is missing is no reason for that.
func (s *Server) handleLive(w http.ResponseWriter, _ *http.Request) error { return sayOK(w) }

// handleReady is GET /x/health/ready: whether this server is well, and knows what mirrors it has. A
// mirror that is asked for earlier is found all the same, but the status lacks it.
func (s *Server) handleReady(w http.ResponseWriter, r *http.Request) error {
	if !s.stopping.Load() && s.dir.CheckOwned() == nil && !s.mirrors.store.IsReady() {
		return fail(kindUnavailable, "the first look at the storage is not over yet")
	}
	return s.handleHealth(w, r)
}

func sayOK(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "ok\n") // the client may be gone; that is no failure of ours
	return nil
}
