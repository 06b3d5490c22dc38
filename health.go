package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	healthPause = time.Second     // between two tries to write
	healthLimit = 2 * time.Second // for a try, before the disk counts as hanging
)

// health finds out whether the storage can be written, by writing.
type health struct {
	file string

	mu     sync.Mutex // guards latest
	latest *trial
}

// trial is one try to write.
type trial struct {
	began time.Time
	over  chan struct{} // closed when err is known
	err   error
}

// check returns why the storage cannot be written, or nil. However many ask, there is
// one try at a time, and one a second at most.
func (h *health) check(ctx context.Context) error {
	h.mu.Lock()
	t := h.latest
	if t == nil || t.isOver() && time.Since(t.began) >= healthPause {
		t = &trial{began: time.Now(), over: make(chan struct{})}
		h.latest = t
		// Nobody waits for its end: on a disk that hangs there may be none, and that
		// must not keep the server from ending.
		go func() {
			t.err = writeAndRemove(h.file)
			close(t.over)
		}()
	}
	h.mu.Unlock()
	limit := time.NewTimer(time.Until(t.began.Add(healthLimit)))
	defer limit.Stop()
	select {
	case <-t.over:
		return t.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-limit.C:
		return fmt.Errorf("a small file could not be written within %s", healthLimit)
	}
}

func (t *trial) isOver() bool {
	select {
	case <-t.over:
		return true
	default:
		return false
	}
}

func writeAndRemove(file string) error {
	err := os.WriteFile(file, []byte("can this be written?\n"), 0o600)
	if err != nil {
		return errors.Join(err, removeIfThere(file)) // a full disk may have let it be created
	}
	return os.Remove(file)
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// isHealth reports whether a path is that of the health.
func isHealth(path string) bool { return strings.Trim(path, "/") == "x/health" }

// handleHealth is GET /x/health: whether this server should be sent requests.
func (s *Server) handleHealth(w http.ResponseWriter, r *http.Request) error {
	if s.stopping.Load() {
		return &fault{kindUnavailable, errClosing}
	}
	if err := s.health.check(r.Context()); err != nil {
		return fail(kindUnavailable, "can't write to the storage: %w", err)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "ok\n") // the client may be gone; that is no failure of ours
	return nil
}
