package main

import (
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/metrics"
)

// newMetrics returns the metrics of a server that has its mirrors.
func newMetrics(s *Server) *metrics.Metrics {
	ms := s.mirrors
	return metrics.New(metrics.Parts{
		Life: s.life, Dir: s.dir, Store: ms.store, Cache: ms.cache, Archives: ms.archives, Prefetcher: ms.prefetch, Packs: ms.packs,
		Client: ms.client, Reconciler: ms.reconciler, Conns: s.conns, Sent: &s.sent, Rejected: s.rejected,
		Requests: func() limiter.Stats {
			return limiter.Stats{Places: propagationBound(len(s.settings().Slaves)), Taken: s.places.Taken()}
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
	if r.Method != http.MethodHead {
		_, _ = conn.NewDeadlineWriter(w).Write(text) // the client may be gone; that is no failure of ours
	}
	return nil
}
