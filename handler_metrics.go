package main

import (
	"net/http"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/cpu"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/limiter"
)

// sent counts bytes that were sent, without headers, and archives that clients had already. Each
// answer changes it, so that it has cache lines of its own: what stands beside it is only read.
type sent struct {
	_                        cpu.CacheLinePad
	archives, packs, bundles atomic.Uint64
	unmodified               atomic.Uint64
	_                        cpu.CacheLinePad
}

// rejections counts the requests that were answered with an error, by its reason. The map never
// changes.
type rejections map[string]*atomic.Uint64

func newRejections() rejections {
	all := rejections{reasonFull: new(atomic.Uint64)}
	for _, reason := range reasons {
		all[reason] = new(atomic.Uint64)
	}
	return all
}

func (r rejections) count(err error) {
	if n := r[reason(err)]; n != nil {
		n.Add(1)
	}
}

// maxScrapes is how many clients may be sent the metrics at once. A client that does not read
// holds what it was sent.
const maxScrapes = 16

// handleMetrics is GET /x/metrics: what Prometheus stores.
func (s *Server) handleMetrics(w http.ResponseWriter, r *http.Request) error {
	defer s.metrics.scraping.Add(-1)
	if s.metrics.scraping.Add(1) > maxScrapes {
		return limiter.ErrBusy
	}
	text, err := s.metrics.render(r.Context())
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", metricsType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	if r.Method != http.MethodHead {
		_, _ = conn.NewDeadlineWriter(w).Write(text) // the client may be gone; that is no failure of ours
	}
	return nil
}
