package tests

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deafManager is a service manager that takes in nothing until it is told to, so that a
// reload goes on for as long as a test needs.
func deafManager(t *testing.T, d *daemon) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	d.env = append(d.env, "NOTIFY_SOCKET="+path)
	return manager
}

// drain takes in what a daemon says to its manager until the test is over.
func drain(manager *net.UnixConn) {
	buf := make([]byte, 1<<10)
	for {
		if _, err := manager.Read(buf); err != nil {
			return
		}
	}
}

// reloads is how often the daemon has reloaded its configuration.
func (d *daemon) reloads() int { return strings.Count(d.log.String(), "INFO reloaded") }

// TestFieldTermInAStormOfHups: no number of HUPs takes the place of a TERM, and a TERM that
// comes during a reload is answered next.
func TestFieldTermInAStormOfHups(t *testing.T) {
	d := prepare(t)
	manager := deafManager(t, d)
	d.run()
	blocked := func() bool {
		before := d.reloads()
		d.signal(syscall.SIGHUP)
		return !within(time.Second, func() bool { return d.reloads() > before })
	}
	for !blocked() { // the manager's queue is not full yet
	}
	before := d.reloads()
	for range 30 {
		d.signal(syscall.SIGHUP)
		time.Sleep(2 * time.Millisecond) // equal signals that nobody has taken in yet are one
	}
	d.signal(syscall.SIGTERM)
	time.Sleep(50 * time.Millisecond) // the daemon's runtime takes it in
	go drain(manager)
	select {
	case <-d.exited:
	case <-time.After(patient):
		t.Fatal("the TERM is lost")
	}
	if after := d.reloads(); after > before+1 {
		t.Errorf("reloaded %d times after the TERM", after-before)
	}
}
