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

// listener is a TCP listener that can be retired without losing connections: it accepts those in
// the kernel's queue before it closes. One that was passed leaves them to the next process.
type listener struct {
	*net.TCPListener
	address string // as it was passed to listen
	passed  bool   // somebody else has opened the socket, and keeps it
	retired atomic.Bool
	closed  chan struct{} // closed when serve returns
}

// backlog is how many connections the kernel queues until they are accepted, as far as
// net.core.somaxconn allows. Go reads that from /proc/sys, and takes 128 where the unit hides it.
const backlog = 4096

// listen listens on a TCP address.
func listen(address string) (*listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if raw, err := l.(*net.TCPListener).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = syscall.Listen(int(fd), backlog) }) // it listens in any case
	}
	return newListener(l.(*net.TCPListener), address), nil
}

func newListener(l *net.TCPListener, address string) *listener {
	return &listener{TCPListener: l, address: address, closed: make(chan struct{})}
}

// covers reports whether a passed listener accepts what is sent to an address.
func (l *listener) covers(address string) bool {
	want, err := net.ResolveTCPAddr("tcp", address)
	got := l.Addr().(*net.TCPAddr)
	return err == nil && got.Port == want.Port && (got.IP.IsUnspecified() || got.IP.Equal(want.IP))
}

// serve passes the listener to run, which must return when the listener has closed. It must be
// called once. For config see [Listeners.Serve].
func (l *listener) serve(config func() *tls.Config, run func(net.Listener) error) error {
	defer close(l.closed)
	return run(secured{l, config})
}

// Accept accepts a connection. When the listener is retired, it accepts those in the queue, without
// waiting for others, and then closes the listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) && l.isRetired() {
		if !l.passed {
			c, err = l.acceptNow()
		}
		if err != nil {
			l.TCPListener.Close()
			return nil, net.ErrClosed
		}
	}
	if err == nil {
		limitUnsent(c)
	}
	return c, err
}

// acceptNow accepts a connection from the queue, without waiting. net.TCPListener does not even try
// once its deadline has passed.
func (l *listener) acceptNow() (net.Conn, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, acceptErr := -1, error(nil)
	err = raw.Control(func(listening uintptr) {
		fd, _, acceptErr = syscall.Accept(int(listening)) // does not block: all of Go's sockets are non-blocking
	})
	if err = errors.Join(err, acceptErr); err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "connection")
	defer f.Close()
	return net.FileConn(f)
}

// retire closes the listener, which must be served. When it returns, the address is free.
func (l *listener) retire() {
	l.retired.Store(true)
	_ = l.SetDeadline(time.Unix(1, 0))
	<-l.closed
}

// isRetired reports whether retire was called.
func (l *listener) isRetired() bool { return l.retired.Load() }

// samePort reports whether two addresses have the same port, so that a server may not be able to
// listen on both.
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

// secured is a listener that encrypts a connection if config returns a configuration. net/http bounds
// the handshake by ReadHeaderTimeout.
type secured struct {
	*listener
	config func() *tls.Config // returns nil for no encryption
}

func (l secured) Accept() (net.Conn, error) {
	c, err := l.listener.Accept()
	if err != nil {
		return nil, err
	}
	if config := l.config(); config != nil {
		return tls.Server(c, config), nil
	}
	return c, nil
}
