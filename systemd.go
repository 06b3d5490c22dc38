package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells the service manager the server's state, if there is one that listens
// (sd_notify(3)).
func (s *Server) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("can't notify the service manager", "err", err)
	}
}

// reloadingState says that a reload begins, and when, as Type=notify-reload needs it.
func reloadingState() string {
	return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()
}

// feedWatchdog tells the service manager that the server works until ctx ends, if the manager has a
// watchdog (sd_watchdog_enabled(3)). A server that hangs stops telling it, and is restarted.
func (s *Server) feedWatchdog(ctx context.Context) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("can't feed the service manager's watchdog", "err", err)
	}
	if limit <= 0 {
		return
	}
	tick := time.NewTicker(max(limit/2, time.Millisecond))
	defer tick.Stop()
	for {
		s.proveLife(ctx)
		s.notify(daemon.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

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

// passedSockets are the sockets that the service manager has opened for the server (sd_listen_fds(3)).
func passedSockets() ([]*net.TCPListener, error) {
	listeners, err := activation.Listeners()
	if err != nil {
		return nil, err
	}
	var sockets []*net.TCPListener
	for _, l := range listeners {
		socket, ok := l.(*net.TCPListener)
		if !ok {
			return nil, errors.New("the service manager has passed a socket that does not listen for TCP; its unit must have ListenStream= with a port, and not Accept=yes")
		}
		sockets = append(sockets, socket)
	}
	return sockets, nil
}
