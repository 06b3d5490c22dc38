package publicnet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// Bounds of the proxy.
const (
	dialTimeout   = 30 * time.Second
	headerTimeout = 10 * time.Second
	idleTimeout   = time.Minute
	maxHeader     = 64 << 10 // bytes
	maxIdle       = 16       // connections to servers that are kept
)

// Guard connects to permitted addresses only. Its methods are safe for concurrent use.
type Guard struct {
	check     func(netip.Addr) error
	forwarder *httputil.ReverseProxy
	transport *http.Transport

	mu      sync.Mutex // guards all below
	server  *http.Server
	address string           // of the proxy
	passes  map[string]*Pass // by their passwords
	serving sync.WaitGroup
}

// New returns a guard that permits the addresses for which check, such as [Check], returns nil.
func New(check func(netip.Addr) error) *Guard {
	g := &Guard{check: check, passes: make(map[string]*Pass)}
	g.transport = &http.Transport{
		DialContext: g.dialFor, DisableCompression: true,
		MaxIdleConns: maxIdle, IdleConnTimeout: idleTimeout, MaxResponseHeaderBytes: maxHeader,
	}
	g.forwarder = &httputil.ReverseProxy{
		Rewrite:       func(*httputil.ProxyRequest) {}, // it goes where it says
		Transport:     g.transport,
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, err error) { refuse(w, err) },
		ErrorLog:      log.New(io.Discard, "", 0), // the client is told
	}
	return g
}

// Dial connects to a host and a port, as net.Dialer does. If an address of the host is not permitted,
// it is not tried; the error wraps what check said of it, if no other one can be reached.
func (g *Guard) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return g.check(to.Addr())
	}}
	return d.DialContext(ctx, network, address)
}

// Pass permits one program to use the proxy.
type Pass struct {
	URL    string // of the proxy, with its password
	Secret string // the password

	guard *Guard

	mu      sync.Mutex // guards all below
	refused error
	tunnels map[net.Conn]bool
	closed  bool
}

// Open returns a pass. The first one starts the proxy, on a loopback address. It forwards http
// requests, and CONNECT (RFC 9110, 9.3.6) for all else.
func (g *Guard) Open() (*Pass, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.start(); err != nil {
		return nil, fmt.Errorf("can't start the proxy for public addresses: %w", err)
	}
	p := &Pass{guard: g, Secret: rand.Text(), tunnels: make(map[net.Conn]bool)}
	p.URL = (&url.URL{Scheme: "http", User: url.UserPassword("sould", p.Secret), Host: g.address}).String()
	g.passes[p.Secret] = p
	return p, nil
}

// start starts the proxy if it does not run; g.mu is held.
func (g *Guard) start() error {
	if g.server != nil {
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		if l, err = net.Listen("tcp", "[::1]:0"); err != nil {
			return err
		}
	}
	g.address = l.Addr().String()
	g.server = &http.Server{
		Handler: http.HandlerFunc(g.serve), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(io.Discard, "", 0), // of nobody's interest but the program's, which says what fails
	}
	server := g.server
	g.serving.Go(func() { _ = server.Serve(l) })
	return nil
}

// Refused returns why an address was refused that the program wanted to reach last, or nil.
func (p *Pass) Refused() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// Close ends the pass, and the connections that were made with it by CONNECT.
func (p *Pass) Close() {
	p.guard.mu.Lock()
	delete(p.guard.passes, p.Secret)
	p.guard.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for c := range p.tunnels {
		c.Close()
	}
}

// Close ends the proxy. A guard can be used afterwards.
func (g *Guard) Close() {
	g.mu.Lock()
	server := g.server
	g.server = nil
	g.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
	g.serving.Wait()
	g.transport.CloseIdleConnections()
}

// passKey is the key of the pass in the context of a request.
type passKey struct{}

// dialFor is Dial for a request of a program, to which it tells what was refused.
func (g *Guard) dialFor(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := g.Dial(ctx, network, address)
	if p, _ := ctx.Value(passKey{}).(*Pass); p != nil && errors.Is(err, ErrPrivate) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.refused = err
	}
	return c, err
}

// serve answers the request of a program that has a pass.
func (g *Guard) serve(w http.ResponseWriter, r *http.Request) {
	p := g.passOf(r)
	if p == nil {
		w.Header().Set("Proxy-Authenticate", `Basic realm="sould"`)
		http.Error(w, "this proxy is for the programs that sould starts", http.StatusProxyAuthRequired)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), passKey{}, p))
	switch {
	case r.Method == http.MethodConnect:
		g.connect(w, r, p)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		g.forwarder.ServeHTTP(w, r)
	default:
		http.Error(w, "this proxy forwards http and CONNECT only", http.StatusBadRequest)
	}
}

// passOf returns the pass of a request, or nil.
func (g *Guard) passOf(r *http.Request) *Pass {
	basic := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	_, password, _ := basic.BasicAuth()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.passes[password]
}

// connect is CONNECT.
func (g *Guard) connect(w http.ResponseWriter, r *http.Request, p *Pass) {
	server, err := g.dialFor(r.Context(), "tcp", r.Host)
	if err != nil {
		refuse(w, err)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, err)
		return
	}
	defer client.Close()
	if !p.add(client) {
		return
	}
	defer p.remove(client)
	_ = client.SetDeadline(time.Time{})
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var upward sync.WaitGroup
	upward.Go(func() {
		_, _ = io.CopyN(server, buffered, int64(buffered.Reader.Buffered()))
		_, _ = io.Copy(server, client)
		server.Close() // the program needs nothing more
	})
	_, _ = io.Copy(client, server)
	if c, ok := client.(*net.TCPConn); ok {
		_ = c.CloseWrite() // the program closes the rest when it has read all
	}
	upward.Wait()
}

// add records a connection of the program. ok is false if the pass has ended.
func (p *Pass) add(c net.Conn) (ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.tunnels[c] = true
	}
	return !p.closed
}

func (p *Pass) remove(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tunnels, c)
}

// refuse tells the program why there is no connection.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	if errors.Is(err, ErrPrivate) {
		status = http.StatusForbidden
	}
	http.Error(w, err.Error(), status)
}
