package process

import (
	"os"
	"syscall"
	"testing"
)

// TestSignals: however many HUPs there are, a TERM is answered, and a second one hurries.
func TestSignals(t *testing.T) {
	s := NotifySignals()
	defer s.Stop()
	send := func(signal syscall.Signal) {
		if err := syscall.Kill(os.Getpid(), signal); err != nil {
			t.Fatal(err)
		}
	}
	send(syscall.SIGHUP)
	if got := <-s.Reload; got != syscall.SIGHUP || s.IsEnding() {
		t.Errorf("%s, ends: %v", got, s.IsEnding())
	}
	for range 10 { // nobody answers
		send(syscall.SIGHUP)
	}
	send(syscall.SIGTERM)
	if got := <-s.End; got != syscall.SIGTERM {
		t.Errorf("%s ends it", got)
	}
	hurry := s.Hurry()
	select {
	case <-hurry:
		t.Error("it hurries before anybody has said so")
	default:
	}
	send(syscall.SIGINT)
	<-hurry
}

// TestReserveThreads comes back.
func TestReserveThreads(t *testing.T) { ReserveThreads() }
