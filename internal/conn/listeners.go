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

// overlap is how long a former address is still served: somebody may just have looked it up.
const overlap = time.Second

// Listeners are where a server is reached: at one address and, for a moment after it has moved,
// at the former ones. Only Broken may be called while another method is at work.
type Listeners struct {
	config  func() *tls.Config
	serve   func(net.Listener) error
	current *Listener
	former  []formerListener
	broken  chan error
	serving sync.WaitGroup
}

// formerListener is a listener that is about to be given up.
type formerListener struct {
	*Listener
	overlap *time.Timer // gives it up
}

// NewListeners listens on a TCP address. Connections wait until Serve is called.
func NewListeners(address string) (*Listeners, error) {
	l, err := Listen(address)
	if err != nil {
		return nil, err
	}
	return &Listeners{current: l, broken: make(chan error, 1)}, nil
}

// Serve has serve, which must return when its listener has closed, answer what comes, from now
// on and at later addresses. For config see [Listener.Serve].
func (s *Listeners) Serve(config func() *tls.Config, serve func(net.Listener) error) {
	s.config, s.serve = config, serve
	s.start(s.current)
}

// start serves a listener until it is retired.
func (s *Listeners) start(l *Listener) {
	s.serving.Go(func() {
		err := l.Serve(s.config, s.serve)
		if !l.Retired() && !errors.Is(err, http.ErrServerClosed) {
			s.broke(fmt.Errorf("serve %s: %w", l.Addr(), err))
		}
	})
}

// broke tells why an address is lost. The first reason is enough.
func (s *Listeners) broke(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// Broken has an error when serving has ended by itself.
func (s *Listeners) Broken() <-chan error { return s.broken }

// Addr is the address that is listened on.
func (s *Listeners) Addr() net.Addr { return s.current.Addr() }

// Move moves to a new address. The new one is bound before the old one is given up, unless they
// are on one port; then the old one comes back if the new one cannot be had.
func (s *Listeners) Move(to string) error {
	if former := s.recall(to); former != nil {
		s.replace(former)
		return nil
	}
	from := s.current.Addr().String()
	early := SamePort(from, to)
	if early {
		s.current.Retire()
	}
	l, err := Listen(to)
	if err != nil && early {
		back, backErr := Listen(from)
		if backErr != nil {
			s.broke(fmt.Errorf("lost the address %s: %w", from, backErr))
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

// replace makes another listener the one in force.
func (s *Listeners) replace(l *Listener) {
	old := s.current
	s.current = l
	if !old.Retired() {
		s.former = append(s.former, formerListener{old, time.AfterFunc(overlap, old.Retire)})
	}
}

// recall takes back the former listener of an address, if it is not given up yet, and gives
// up at once what else would be in the way.
func (s *Listeners) recall(address string) (found *Listener) {
	s.former = slices.DeleteFunc(s.former, func(l formerListener) bool {
		switch {
		case found == nil && l.Address == address && l.overlap.Stop():
			found = l.Listener
			return true
		case SamePort(l.Addr().String(), address):
			l.Retire()
		}
		return l.Retired()
	})
	return found
}

// Retire accepts nothing more. What was accepted is still answered.
func (s *Listeners) Retire() {
	for _, l := range s.former {
		l.Retire()
	}
	s.current.Retire()
}

// Wait waits until nothing is served any more.
func (s *Listeners) Wait() { s.serving.Wait() }

// Close gives up an address that is not served.
func (s *Listeners) Close() error { return s.current.Close() }
