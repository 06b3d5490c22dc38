package main

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// listener is a TCP listener that can be given up without a loss: connections
// that the kernel has taken for it are accepted before it closes.
type listener struct {
	*net.TCPListener
	address string        // as it was asked for
	hurry   chan struct{} // closed when there is no time to lose
	closed  chan struct{} // closed when it is not served any more

	mu       sync.Mutex // guards all below
	retiring bool       // it is about to close, for good
	reprieve int        // how often it was wanted again
}

func listen(address string) (*listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &listener{
		TCPListener: l.(*net.TCPListener), address: address,
		hurry: make(chan struct{}), closed: make(chan struct{}),
	}, nil
}

// Accept accepts a connection. When the listener is being given up, it accepts those
// that are there, without waiting, and then closes it.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) && l.isRetiring() {
		if c, err = l.acceptNow(); err != nil {
			l.TCPListener.Close()
			return nil, net.ErrClosed
		}
	}
	if err == nil {
		limitUnsent(c)
	}
	return c, err
}

func (l *listener) isRetiring() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retiring
}

// acceptNow accepts a connection that is there. net.TCPListener does not try, once its
// deadline has passed.
func (l *listener) acceptNow() (net.Conn, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, acceptErr := -1, error(nil)
	err = raw.Control(func(listening uintptr) {
		fd, _, acceptErr = syscall.Accept(int(listening)) // it is non-blocking, as all of Go's are
	})
	if err = errors.Join(err, acceptErr); err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "connection")
	defer f.Close()
	return net.FileConn(f)
}

// retire gives the listener up, while it is being served, after some time in which it
// goes on, or when hurry is closed. Its address is free when retire returns, unless it
// was wanted again meanwhile.
func (l *listener) retire(after time.Duration) {
	l.mu.Lock()
	reprieve := l.reprieve
	l.mu.Unlock()
	wait := time.NewTimer(after)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-l.hurry:
	}
	l.mu.Lock()
	retiring := l.reprieve == reprieve
	l.retiring = l.retiring || retiring
	l.mu.Unlock()
	if retiring {
		_ = l.SetDeadline(time.Unix(1, 0))
		<-l.closed
	}
}

// dismiss lets a listener that is to retire do so now.
func (l *listener) dismiss() {
	if !l.gone() {
		close(l.hurry)
		<-l.closed
	}
}

func (l *listener) gone() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// wantAgain keeps a listener that is to retire, if it is not too late.
func (l *listener) wantAgain() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retiring {
		return false
	}
	l.reprieve++
	return true
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
