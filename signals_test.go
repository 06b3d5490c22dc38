package main

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/process"
)

// TestTheWatchdogIsFedByAServerThatWorks, and by none whose handlers hang.
func TestTheWatchdogIsFedByAServerThatWorks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	// fed reports whether the watchdog is fed within a time.
	fed := func(limit time.Duration) bool {
		if err := manager.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		for {
			n, err := manager.Read(buf)
			if err != nil || string(buf[:n]) == "WATCHDOG=1" {
				return err == nil
			}
		}
	}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "") // of whoever runs the tests
	s, err := Start(context.Background(), writeConfig(t, "listen = \"127.0.0.1:0\"\nstorage = \""+t.TempDir()+"\"\n"), true, logging.New(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	signals := process.NotifySignals()
	defer signals.Stop()
	ended := make(chan error)
	go func() { ended <- s.Run(signals) }()
	const patient = 2 * time.Minute
	for range 2 {
		if !fed(patient) {
			t.Fatal("it is not fed")
		}
	}
	s.handling.Lock()
	n := 0
	for fed(500 * time.Millisecond) { // what was sent before; a slow machine sends even less
		if n++; n > 1000 {
			t.Fatal("it is fed by a server that answers nobody")
		}
	}
	s.handling.Unlock()
	if !fed(patient) {
		t.Error("it is not fed when the server works again")
	}
	signals.End <- nil
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
