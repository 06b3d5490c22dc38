package conn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// overlap is how long a former address is still served: a client may just have looked it up.
const overlap = time.Second

// Listeners are a server's listeners: one at its address and, for a moment after it has moved, those
// at the former addresses. No two methods may run at the same time, except Broken.
type Listeners struct {
	config  func() *tls.Config
	run     func(net.Listener) error
	current *listener
	former  []formerListener
	broken  chan error
	serving sync.WaitGroup
}

// formerListener is a listener that is about to be retired.
type formerListener struct {
	*listener
	overlap *time.Timer // retires it
}

// NewListeners listens on a TCP address. Connections wait until Serve is called.
func NewListeners(address string) (*Listeners, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	return &Listeners{current: l, broken: make(chan error, 1)}, nil
}

// Serve starts run, which answers connections and must return when its listener has closed, and does
// so again for each later address. For each connection it calls config, and encrypts the
// connection if the result is not nil: so a reload can change the certificate, or turn encryption
// on and off, for later connections.
func (s *Listeners) Serve(config func() *tls.Config, run func(net.Listener) error) {
	s.config, s.run = config, run
	s.start(s.current)
}

// start serves a listener until it is retired.
func (s *Listeners) start(l *listener) {
	s.serving.Go(func() {
		err := l.serve(s.config, s.run)
		if !l.isRetired() && !errors.Is(err, http.ErrServerClosed) {
			s.reportBroken(fmt.Errorf("serve %s: %w", l.Addr(), err))
		}
	})
}

// reportBroken sends an error to Broken, unless there is one already.
func (s *Listeners) reportBroken(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// Broken receives an error when serving has ended by itself, or an address is lost.
func (s *Listeners) Broken() <-chan error { return s.broken }

// Addr returns the current address.
func (s *Listeners) Addr() net.Addr { return s.current.Addr() }

// Move moves to a new address. The new address is bound before the old one is given up, unless both
// have the same port; in that case the old address is bound again if the new one cannot be.
func (s *Listeners) Move(to string) error {
	if former := s.recall(to); former != nil {
		s.replace(former)
		return nil
	}
	from := s.current.Addr().String()
	early := samePort(from, to)
	if early {
		s.current.retire()
	}
	l, err := listen(to)
	if err != nil && early {
		back, backErr := listen(from)
		if backErr != nil {
			s.reportBroken(fmt.Errorf("lost the address %s: %w", from, backErr))
			return errors.Join(err, backErr)
		}
		s.current = back
		s.start(back)
	}
	if err != nil {
		return err
	}
	s.start(l)
	s.replace(l)
	return nil
}

// replace makes l the current listener, and retires the old one after a moment.
func (s *Listeners) replace(l *listener) {
	old := s.current
	s.current = l
	if !old.isRetired() {
		s.former = append(s.former, formerListener{old, time.AfterFunc(overlap, old.retire)})
	}
}

// recall takes back the former listener of an address, if it is not retired yet, and retires at once
// the other former listeners of the same port.
func (s *Listeners) recall(address string) (found *listener) {
	s.former = slices.DeleteFunc(s.former, func(l formerListener) bool {
		switch {
		case found == nil && l.address == address && l.overlap.Stop():
			found = l.listener
			return true
		case samePort(l.Addr().String(), address):
			l.retire()
		}
		return l.isRetired()
	})
	return found
}

// Retire closes all listeners. Connections that were accepted are still answered.
func (s *Listeners) Retire() {
	for _, l := range s.former {
		l.retire()
	}
	s.current.retire()
}

// Wait returns when all calls of run have returned.
func (s *Listeners) Wait() { s.serving.Wait() }

// Close closes the listener if Serve was not called.
func (s *Listeners) Close() error { return s.current.Close() }
