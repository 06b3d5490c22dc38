package main

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// listener is a TCP listener that can be given up without a loss: connections
// that the kernel has taken for it are accepted before it closes.
type listener struct {
	*net.TCPListener
	retiring atomic.Bool
	closed   chan struct{}
}

// lastCall is how long a listener that is given up accepts what is in its queue.
const lastCall = 20 * time.Millisecond

func listen(address string) (*listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &listener{TCPListener: l.(*net.TCPListener), closed: make(chan struct{})}, nil
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) && l.retiring.Load() {
		l.TCPListener.Close()
		return nil, net.ErrClosed
	}
	return c, err
}

// retire gives the listener up, while it is being served. Its address is free
// when retire returns.
func (l *listener) retire() {
	l.retiring.Store(true)
	_ = l.SetDeadline(time.Now().Add(lastCall))
	<-l.closed
}

// samePort reports whether two addresses are on one port, so that they cannot
// both be listened on.
func samePort(a, b string) bool {
	_, portA, errA := net.SplitHostPort(a)
	_, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil {
		return false
	}
	numberA, errA := net.LookupPort("tcp", portA)
	numberB, errB := net.LookupPort("tcp", portB)
	return errA == nil && errB == nil && numberA == numberB && numberA != 0
}
