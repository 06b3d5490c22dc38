// Package process is what the operating system sees of a daemon: the signals that it answers, and the threads
// that it has.
package process

import (
	"os"
	"os/signal"
	"syscall"
)

// Signals are those that a server answers, in two channels: what does not fit a channel is
// dropped, and no number of HUPs may take the place of a TERM.
type Signals struct {
	Reload chan os.Signal // HUP. It holds one: whoever sends several wants the latest configuration
	End    chan os.Signal // TERM and INT. It holds two: the second one means something else
}

// NotifySignals has signals sent to channels from now on.
func NotifySignals() Signals {
	s := Signals{Reload: make(chan os.Signal, 1), End: make(chan os.Signal, 2)}
	signal.Notify(s.Reload, syscall.SIGHUP)
	signal.Notify(s.End, syscall.SIGTERM, syscall.SIGINT)
	return s
}

// Stop leaves later signals to the system.
func (s Signals) Stop() {
	signal.Stop(s.Reload)
	signal.Stop(s.End)
}

// IsEnding reports whether a signal that ends the server waits to be answered.
func (s Signals) IsEnding() bool { return len(s.End) > 0 }

// Hurry is closed at the next signal that ends the server. The goroutine that waits for
// it is the last one, and ends with the process.
func (s Signals) Hurry() <-chan struct{} {
	hurry := make(chan struct{})
	go func() {
		<-s.End
		close(hurry)
	}()
	return hurry
}

// OutliveLogs lets the server outlive the reader of its log: SIGPIPE would end it at the first
// record after the reader has gone. It catches the signal instead of ignoring it, because
// git would inherit that it is ignored.
func OutliveLogs() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
