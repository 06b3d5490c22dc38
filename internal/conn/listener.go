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

// Listener is a TCP listener that can be given up without a loss: connections
// that the kernel has taken for it are accepted before it closes.
type Listener struct {
	*net.TCPListener
	Address string // as it was asked for
	retired atomic.Bool
	closed  chan struct{} // closed when it is not served any more
}

// Listen listens on a TCP address.
func Listen(address string) (*Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Listener{TCPListener: l.(*net.TCPListener), Address: address, closed: make(chan struct{})}, nil
}

// Serve accepts connections with serve, which returns when the listener has closed. If
// config returns one, connections are encrypted that are accepted then: a reload can change
// a certificate, or turn encryption on and off, without a word to the listener. What has
// been accepted stays as it is. Serve is called once.
func (l *Listener) Serve(config func() *tls.Config, serve func(net.Listener) error) error {
	defer close(l.closed)
	return serve(secured{l, config})
}

// Accept accepts a connection. When the listener is being given up, it accepts those
// that are there, without waiting, and then closes it.
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

// acceptNow accepts a connection that is there. net.TCPListener does not try, once its
// deadline has passed.
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

// Retire gives the listener up, while it is being served. Its address is free when Retire
// returns.
func (l *Listener) Retire() {
	l.retired.Store(true)
	_ = l.SetDeadline(time.Unix(1, 0))
	<-l.closed
}

// Retired reports whether the listener was given up.
func (l *Listener) Retired() bool { return l.retired.Load() }

// SamePort reports whether two addresses are on one port, so that they cannot
// both be listened on.
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

// secured is a listener whose connections are encrypted if config says so. net/http bounds
// the handshake by ReadHeaderTimeout.
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
