package origin

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Fault is what a Proxy does to the streams that pass it. The zero value passes
// them on as they are.
type Fault struct {
	Mute   bool          // take connections and say nothing
	Drip   time.Duration // pass Drop bytes from the server in this time
	Drop   int           // 0 means 1
	At     int64         // how many bytes from the server, over all connections, pass before Then
	Then   Act           // what happens at At
	Refuse bool          // close connections at once
}

// Act is what happens to a stream at one byte.
type Act int

const (
	Pass  Act = iota // nothing
	Cut              // the connection is closed
	Stall            // nothing more comes
	Flip             // that byte is changed
)

// Proxy stands between clients and a server on loopback.
type Proxy struct {
	Addr string

	target   string
	listener net.Listener

	mu     sync.Mutex // guards all below
	fault  Fault
	passed int64
	conns  map[net.Conn]bool
	done   bool
	wg     sync.WaitGroup
}

// NewProxy starts a proxy for the server at a URL or an address and returns it.
func NewProxy(t T, target string) *Proxy {
	t.Helper()
	if _, rest, ok := strings.Cut(target, "://"); ok {
		target, _, _ = strings.Cut(rest, "/")
		if _, host, ok := strings.Cut(target, "@"); ok {
			target = host
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, conns: make(map[net.Conn]bool)}
	p.wg.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Set changes the fault, for all that passes from now on, and starts counting
// bytes again. Connections that are open stay open.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.passed = f, 0
}

// Bytes is how many bytes have come from the server since the last Set.
func (p *Proxy) Bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed
}

// HangUp closes all connections.
func (p *Proxy) HangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// Close takes the proxy away.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.done = true
	p.mu.Unlock()
	p.listener.Close()
	p.HangUp()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

// hold keeps a connection to be closed with the proxy.
func (p *Proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(client net.Conn) {
	if !p.hold(client) {
		return
	}
	defer p.drop(client)
	p.mu.Lock()
	f := p.fault
	p.mu.Unlock()
	if f.Refuse {
		return
	}
	if f.Mute {
		_, _ = client.Read(make([]byte, 1<<16))
		wait(client)
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.hold(server) {
		return
	}
	defer p.drop(server)
	p.wg.Go(func() {
		_, _ = server.(*net.TCPConn).ReadFrom(client)
		_ = server.(*net.TCPConn).CloseWrite()
	})
	p.downstream(client, server)
}

// downstream passes what the server says.
func (p *Proxy) downstream(client, server net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		if n > 0 && !p.pass(client, buf[:n]) {
			return
		}
		if err != nil {
			return
		}
	}
}

// pass writes bytes to the client and reports whether to go on.
func (p *Proxy) pass(client net.Conn, b []byte) bool {
	p.mu.Lock()
	f, before := p.fault, p.passed
	p.passed += int64(len(b))
	p.mu.Unlock()

	for len(b) > 0 && f.Drip > 0 {
		n := min(max(f.Drop, 1), len(b))
		if _, err := client.Write(b[:n]); err != nil {
			return false
		}
		time.Sleep(f.Drip)
		b = b[n:]
		p.mu.Lock()
		f = p.fault // it may drip no longer
		p.mu.Unlock()
	}
	if at := f.At - before; f.Then != Pass && at < int64(len(b)) {
		switch {
		case f.Then == Flip && at >= 0:
			b[at] ^= 0xff
		case f.Then == Cut:
			_, _ = client.Write(b[:max(at, 0)])
			return false
		case f.Then == Stall:
			_, _ = client.Write(b[:max(at, 0)])
			wait(client)
			return false
		}
	}
	_, err := client.Write(b)
	return err == nil
}

// wait returns when the connection is closed, by whomever.
func wait(c net.Conn) {
	buf := make([]byte, 1<<12)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// BlackHole is an address on loopback where connecting takes for ever: a port
// whose queue of connections is full, so that the kernel drops what comes.
func BlackHole(t T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("%v", err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatalf("%v", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatalf("%v", err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	for range 4 { // more than fit: the last ones hang
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatalf("connections to %s do not hang", addr)
	return ""
}
