package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
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
	s.notify(daemon.SdNotifyReady)
	life, end := context.WithCancel(context.Background())
	var watchdog sync.WaitGroup
	watchdog.Go(func() { s.feedWatchdog(life) })
	defer watchdog.Wait()
	defer end()
	for {
		select {
		case err := <-s.listeners.Broken():
			return errors.Join(err, s.Close(nil))
		case <-signals.end:
			s.notify(daemon.SdNotifyStopping)
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
	s.notify(reloadingState())
	if err := s.Reload(); err != nil {
		s.log.Error("not reloaded; the old configuration stays", "err", err)
	}
	s.notify(daemon.SdNotifyReady)
}

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
