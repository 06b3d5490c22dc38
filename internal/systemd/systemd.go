// Package systemd talks to the service manager that has started the process, by its protocols: it takes
// over sockets, tells the state of the service, and feeds the watchdog. Where no manager listens, all of it
// does nothing.
package systemd

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// State is what a service tells of itself (sd_notify(3)).
type State string

const (
	Ready    State = daemon.SdNotifyReady // after a start, and after each reload
	Stopping State = daemon.SdNotifyStopping
)

// Reloading says that a reload begins now. Type=notify-reload needs to know when that was.
func Reloading() State {
	return daemon.SdNotifyReloading + "\n" + State(daemon.SdNotifyMonotonicUsec())
}

// Notify tells the service manager a state.
func Notify(state State) error {
	_, err := daemon.SdNotify(false, string(state))
	return err
}

// FeedWatchdog tells the service manager until ctx ends that the service works, if the manager has a
// watchdog (sd_watchdog_enabled(3)): each time when prove returns. A service that hangs stops telling it,
// and is restarted. warn gets what goes wrong; it does not end the feeding.
func FeedWatchdog(ctx context.Context, prove func(context.Context), warn func(what string, err error)) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		warn("can't feed the service manager's watchdog", err)
	}
	if limit <= 0 {
		return
	}
	tick := time.NewTicker(max(limit/2, time.Millisecond))
	defer tick.Stop()
	for {
		prove(ctx)
		if err := Notify(daemon.SdNotifyWatchdog); err != nil {
			warn("can't notify the service manager", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Sockets are those that the service manager has opened for the service (sd_listen_fds(3)).
func Sockets() ([]*net.TCPListener, error) {
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
