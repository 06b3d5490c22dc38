package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/process"
	"github.com/reconquest/sould/internal/systemd"
)

// Run answers signals until one of them, or a broken listener, ends the server.
func (s *Server) Run(signals process.Signals) error {
	s.notify(systemd.Ready)
	life, end := context.WithCancel(context.Background())
	var watchdog sync.WaitGroup
	watchdog.Go(func() { systemd.FeedWatchdog(life, s.proveLife, s.warnOfManager) })
	defer watchdog.Wait()
	defer end()
	for {
		select {
		case err := <-s.listeners.Broken():
			return errors.Join(err, s.Close(nil))
		case <-signals.End:
			s.notify(systemd.Stopping)
			return s.Close(signals.Hurry())
		case <-signals.Reload:
			if !signals.IsEnding() { // select takes either
				s.answerReload()
			}
		}
	}
}

// answerReload reloads the configuration, and tells the service manager and the log.
func (s *Server) answerReload() {
	s.notify(systemd.Reloading())
	if err := s.Reload(); err != nil {
		s.log.Error("not reloaded; the old configuration stays", "err", err)
	}
	s.notify(systemd.Ready)
}

// notify tells the service manager the server's state.
func (s *Server) notify(state systemd.State) {
	if err := systemd.Notify(state); err != nil {
		s.warnOfManager("can't notify the service manager", err)
	}
}

func (s *Server) warnOfManager(what string, err error) { s.log.Warn(what, "err", err) }

// proveLife returns when the server can answer a request, and use its mirrors. What the answer is does
// not count: a storage that is missing or a disk that hangs is no better after a restart.
func (s *Server) proveLife(ctx context.Context) {
	if s.stopping.Load() { // handlers are waited for, and that has a limit of its own
		return
	}
	s.mirrors.store.Running()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/x/health", nil)
	if err != nil {
		panic(err) // the URL is ours
	}
	defer func() { _ = recover() }() // the server has just closed
	s.ServeHTTP(unread{}, r)
}

// unread is an answer that nobody reads.
type unread http.Header

func (u unread) Header() http.Header            { return http.Header(u) }
func (unread) Write(p []byte) (int, error)      { return len(p), nil }
func (unread) WriteHeader(int)                  {}
func (unread) SetWriteDeadline(time.Time) error { return nil }
func (unread) SetReadDeadline(time.Time) error  { return nil }
