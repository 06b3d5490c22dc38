package conn

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Listener is a TCP listener that can be retired without losing connections: it accepts those
// that are in the kernel's queue before it closes.
type Listener struct {
	*net.TCPListener
	Address string // as it was passed to Listen
	retired atomic.Bool
	closed  chan struct{} // closed when Serve returns
}

// Listen listens on a TCP address.
func Listen(address string) (*Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Listener{TCPListener: l.(*net.TCPListener), Address: address, closed: make(chan struct{})}, nil
}

// Serve passes the listener to serve, which must return when it has closed. For each
// connection that it accepts it calls config, and encrypts the connection if the result is
// not nil: so a reload can change the certificate, or turn encryption on and off, for later
// connections. Serve must be called once.
func (l *Listener) Serve(config func() *tls.Config, serve func(net.Listener) error) error {
	defer close(l.closed)
	return serve(secured{l, config})
}

// Accept accepts a connection. When the listener is retired, it accepts those that are in
// the queue, without waiting for others, and then closes the listener.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) && l.Retired() {
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

// acceptNow accepts a connection from the queue, without waiting. net.TCPListener does not
// try to, once its deadline has passed.
func (l *Listener) acceptNow() (net.Conn, error) {
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

// Retire closes the listener, which must be served. When it returns, the address is free.
func (l *Listener) Retire() {
	l.retired.Store(true)
	_ = l.SetDeadline(time.Unix(1, 0))
	<-l.closed
}

// Retired reports whether Retire was called.
func (l *Listener) Retired() bool { return l.retired.Load() }

// SamePort reports whether two addresses have the same port, so that a server may not be able
// to listen on both.
func SamePort(a, b string) bool {
	_, portA, errA := net.SplitHostPort(a)
	_, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil {
		return false
	}
	numberA, errA := net.LookupPort("tcp", portA)
	numberB, errB := net.LookupPort("tcp", portB)
	return errA == nil && errB == nil && numberA == numberB && numberA != 0
}

// secured is a listener that encrypts connections if config returns a configuration. net/http
// bounds the handshake by ReadHeaderTimeout.
type secured struct {
	*Listener
	config func() *tls.Config // returns nil for none
}

func (l secured) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if config := l.config(); config != nil {
		return tls.Server(c, config), nil
	}
	return c, nil
}
