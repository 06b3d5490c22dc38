package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/reconquest/sould/internal/systemd"
)

// signals are those that Run answers, in two channels: what does not fit a channel is
// dropped, and no number of HUPs may take the place of a TERM.
type signals struct {
	reload chan os.Signal // HUP. It holds one: whoever sends several wants the latest configuration
	end    chan os.Signal // TERM and INT. It holds two: the second one means something else
}

// notifySignals has signals sent to channels from now on.
func notifySignals() signals {
	s := signals{reload: make(chan os.Signal, 1), end: make(chan os.Signal, 2)}
	signal.Notify(s.reload, syscall.SIGHUP)
	signal.Notify(s.end, syscall.SIGTERM, syscall.SIGINT)
	return s
}

// stop leaves later signals to the system.
func (s signals) stop() {
	signal.Stop(s.reload)
	signal.Stop(s.end)
}

// isEnding reports whether a signal that ends the server waits to be answered.
func (s signals) isEnding() bool { return len(s.end) > 0 }

// outliveLogs lets the server outlive the reader of its log: SIGPIPE would end it at the first
// record after the reader has gone. It catches the signal instead of ignoring it, because
// git would inherit that it is ignored.
func outliveLogs() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// Run answers signals until one of them, or a broken listener, ends the server.
func (s *Server) Run(signals signals) error {
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
		case <-signals.end:
			s.notify(systemd.Stopping)
			return s.Close(second(signals.end))
		case <-signals.reload:
			if !signals.isEnding() { // select takes either
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

// second is closed at the next signal that ends the server. The goroutine that waits for
// it is the last one, and ends with the process.
func second(end <-chan os.Signal) <-chan struct{} {
	hurry := make(chan struct{})
	go func() {
		<-end
		close(hurry)
	}()
	return hurry
}

// spareThreads is how many threads the process has from the start. The Go runtime ends the
// program when it cannot create a thread that it needs, so the server would die when the
// machine can start nothing more (ulimit -u, the TasksMax of a unit). The runtime never gives
// threads back, and this number is enough to go on serving: it needs a thread for each system
// call that takes long, above all on a slow disk.
const spareThreads = 64

// reserveThreads makes the runtime create threads. Each of n goroutines holds one until all
// of them have one.
func reserveThreads(n int) {
	var running, ended sync.WaitGroup
	release := make(chan struct{})
	running.Add(n)
	for range n {
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			running.Done()
			<-release
		})
	}
	running.Wait()
	close(release)
	ended.Wait()
}
