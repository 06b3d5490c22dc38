package systemd

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// newManager is a service manager that takes in what a service tells.
func newManager(t *testing.T) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		buf := make([]byte, 200)
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func TestNotify(t *testing.T) {
	next := newManager(t)
	for state, want := range map[State]string{Ready: "READY=1", Stopping: "STOPPING=1", Reloading(): "RELOADING=1\nMONOTONIC_USEC="} {
		if err := Notify(state); err != nil {
			t.Fatal(err)
		}
		if got := next(); !strings.HasPrefix(got, want) {
			t.Errorf("the manager is told %q, want %q", got, want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(Ready); err != nil {
		t.Errorf("without a manager: %v", err)
	}
}

// TestFeedWatchdog: the watchdog is fed once for each proof, and not without one.
func TestFeedWatchdog(t *testing.T) {
	next := newManager(t)
	t.Setenv("WATCHDOG_USEC", "2000")
	t.Setenv("WATCHDOG_PID", "") // of whoever runs the tests
	ctx, end := context.WithCancel(t.Context())
	proofs, ended := make(chan struct{}), make(chan struct{})
	go func() {
		FeedWatchdog(ctx, func(ctx context.Context) {
			select {
			case proofs <- struct{}{}:
			case <-ctx.Done():
			}
		}, func(what string, err error) { t.Errorf("%s: %v", what, err) })
		close(ended)
	}()
	for range 3 {
		<-proofs
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("the manager is told %q", got)
		}
	}
	end()
	<-ended

	t.Setenv("WATCHDOG_USEC", "often")
	var warned string
	FeedWatchdog(t.Context(), func(context.Context) { t.Error("it is fed") }, func(what string, err error) { warned = what })
	if warned != "can't feed the service manager's watchdog" {
		t.Errorf("the warning is %q", warned)
	}
}
