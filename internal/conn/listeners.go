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
// at the former addresses. Sockets that somebody else has opened for the server are served to the end,
// wherever it moves: who has opened them keeps them open, and a client that nobody accepts would wait
// for ever. No two methods may run at the same time, except Broken.
type Listeners struct {
	config  func() *tls.Config
	run     func(net.Listener) error
	passed  []*listener // that others have opened
	current *listener   // may be one of them
	former  []formerListener
	broken  chan error
	serving sync.WaitGroup
}

// formerListener is a listener that is about to be retired.
type formerListener struct {
	*listener
	overlap *time.Timer // retires it
}

// NewListeners listens on a TCP address, unless one of the sockets that were passed does; the empty
// address is that of the first of them. Connections wait until Serve is called.
func NewListeners(address string, passed ...*net.TCPListener) (*Listeners, error) {
	s := &Listeners{broken: make(chan error, 1)}
	for _, socket := range passed {
		l := newListener(socket, socket.Addr().String())
		l.passed = true
		s.passed = append(s.passed, l)
	}
	if s.current = s.findPassed(address); s.current != nil {
		return s, nil
	}
	l, err := listen(address)
	if s.current = l; err != nil {
		return nil, errors.Join(s.explain(err, address), s.Close())
	}
	return s, nil
}

// findPassed returns the passed listener of an address, or nil.
func (s *Listeners) findPassed(address string) *listener {
	for _, l := range s.passed {
		if address == "" || l.covers(address) {
			return l
		}
	}
	return nil
}

// explain adds to the error of listening on an address that a passed socket may be in its way.
func (s *Listeners) explain(err error, address string) error {
	for _, l := range s.passed {
		if samePort(l.Addr().String(), address) {
			return fmt.Errorf("%w; the service manager has opened %s, whose port is the same", err, l.Addr())
		}
	}
	return err
}

// Serve starts run, which answers connections and must return when its listener has closed, and does
// so again for each later address. For each connection it calls config, and encrypts the
// connection if the result is not nil: so a reload can change the certificate, or turn encryption
// on and off, for later connections.
func (s *Listeners) Serve(config func() *tls.Config, run func(net.Listener) error) {
	s.config, s.run = config, run
	for _, l := range s.passed {
		s.start(l)
	}
	if !s.current.passed {
		s.start(s.current)
	}
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

// HavePassed reports whether sockets were passed.
func (s *Listeners) HavePassed() bool { return len(s.passed) > 0 }

// Others returns the addresses of passed sockets that are not the current address, and are served too.
func (s *Listeners) Others() (addresses []string) {
	for _, l := range s.passed {
		if l != s.current {
			addresses = append(addresses, l.Addr().String())
		}
	}
	return addresses
}

// Move moves to a new address. The new address is bound before the old one is given up, unless both
// have the same port; in that case the old address is bound again if the new one cannot be. A passed
// socket is neither bound nor given up. The empty address is as for NewListeners.
func (s *Listeners) Move(to string) error {
	former := s.recall(to)
	if former == nil {
		former = s.findPassed(to)
	}
	if former != nil {
		s.replace(former)
		return nil
	}
	from := s.current.Addr().String()
	early := samePort(from, to) && !s.current.passed
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
		return s.explain(err, to)
	}
	s.start(l)
	s.replace(l)
	return nil
}

// replace makes l the current listener, and retires the old one after a moment.
func (s *Listeners) replace(l *listener) {
	old := s.current
	s.current = l
	if old != l && !old.passed && !old.isRetired() {
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
	for _, l := range s.passed {
		l.retire()
	}
	s.current.retire()
}

// Wait returns when all calls of run have returned.
func (s *Listeners) Wait() { s.serving.Wait() }

// Close closes the listeners if Serve was not called.
func (s *Listeners) Close() error {
	var err error
	for _, l := range s.passed {
		err = errors.Join(err, l.Close())
	}
	if s.current != nil && !s.current.passed {
		err = errors.Join(err, s.current.Close())
	}
	return err
}
