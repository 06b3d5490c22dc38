package main

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/metrics"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/respond"
)

// newMetrics returns the metrics of a server that has its mirrors.
func newMetrics(s *Server) *metrics.Metrics {
	ms := s.mirrors
	return metrics.New(metrics.Parts{
		Life: s.life, Dir: s.dir, Store: ms.store, Cache: ms.cache, Archives: ms.archives, Prefetcher: ms.prefetch,
		Packs: ms.packs, Maker: ms.finder.Maker, Room: ms.room, Client: ms.client, Reconciler: ms.reconciler,
		Poller: s.poller, Discovery: s.discovery, Notifier: ms.notifier, Conns: s.conns, Logins: s.logins,
		Sent: &s.sent, Rejected: s.rejected,
		Deliveries: &s.hooks.Counts,
		Requests: func() limiter.Stats {
			return ms.propagator.Stats(len(s.settings().Slaves))
		},
		Release: s.version, Git: s.git, MaxNamed: func() int { return s.settings().MetricsMirrors },
	})
}

// newRejected returns counters for all reasons of errors.
func newRejected() metrics.Rejected {
	return metrics.NewRejected(slices.AppendSeq([]string{reasonFull}, maps.Values(reasons))...)
}

// maxScrapes is how many clients may be sent the metrics at once. A client that does not read
// holds what it was sent.
const maxScrapes = 16

// handleMetrics is GET /x/metrics: what Prometheus stores.
func (s *Server) handleMetrics(w http.ResponseWriter, r *http.Request) error {
	if !s.scrapes.Take(maxScrapes) {
		return limiter.ErrBusy
	}
	defer s.scrapes.Release()
	text, err := s.metrics.Render(r.Context())
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", metrics.ContentType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	respond.Body(w, r, http.StatusOK, text)
	return nil
}

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
		return mirror.ErrStarting
	}
	return s.handleHealth(w, r)
}

func sayOK(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "ok\n") // the client may be gone; that is no failure of ours
	return nil
}
