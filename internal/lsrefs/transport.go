package lsrefs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

const (
	// maxIdle is the default of Options.MaxIdle. Of these connections, mostIdlePerHost are for one
	// host.
	maxIdle, mostIdlePerHost = 16, 8

	// keptTime is how long an idle connection is kept.
	keptTime = time.Minute

	// unackedTime is how long the kernel waits for an acknowledgement.
	unackedTime = 3 * time.Second

	// maxCAFile is the largest file of certificates, in bytes.
	maxCAFile = 16 << 20
)

// transports has a transport for http and one for each file of certificates. A file that has
// changed is read again, since git reads it each time.
type transports struct {
	caFile  string // the default; empty for the system's
	blocked string // why the system's certificates cannot be used; empty if they can
	maxIdle int    // idle connections of each transport
	dial    func(ctx context.Context, network, address string) (net.Conn, error)

	mu sync.Mutex // guards of
	of map[string]trusting
}

// trusting is a transport that trusts the certificates of a file.
type trusting struct {
	*http.Transport
	file fileStamp
}

// fileStamp identifies a version of a file.
type fileStamp struct {
	size     int64
	modified time.Time
	info     fs.FileInfo
}

// same reports whether two stamps are of the same version.
func (s fileStamp) same(now fileStamp) bool {
	return s.size == now.size && s.modified.Equal(now.modified) && os.SameFile(s.info, now.info)
}

// newTransports reads the variables that git and its library read. The meaning of some of them
// depends on how the library was built. If one is set, the system's certificates are not used.
func newTransports(o Options) *transports {
	t := &transports{caFile: o.CAFile, maxIdle: cmp.Or(o.MaxIdle, maxIdle), dial: o.Dial, of: make(map[string]trusting)}
	if t.dial == nil {
		t.dial = new(net.Dialer).DialContext
	}
	if file, _ := o.Getenv("GIT_SSL_CAINFO"); t.caFile == "" {
		t.caFile = file
	}
	for _, name := range []string{"GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if _, set := o.Getenv(name); set {
			t.blocked = name + " is set"
		}
	}
	return t
}

// systemFiles are where systems keep the certificates that they trust. The first one that exists
// is used, as crypto/x509 does it, but that would never read it again.
var systemFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Gentoo
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Red Hat
	"/etc/ssl/cert.pem",                                 // Alpine
}

// get returns the transport for a scheme and a file of certificates; "" stands for the default.
func (t *transports) get(scheme, caFile string) (*http.Transport, error) {
	if scheme == "http" {
		return t.plain(), nil
	}
	path := cmp.Or(caFile, t.caFile)
	if path == "" && t.blocked != "" {
		return nil, errors.New(t.blocked)
	}
	path, stamp, err := stampOf(path)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	known, ok := t.of[path]
	t.mu.Unlock()
	if ok && known.file.same(stamp) {
		return known.Transport, nil
	}
	pool, err := readCertificates(path) // not while others wait
	if err != nil {
		return nil, err
	}
	made := t.transport(&tls.Config{RootCAs: pool})
	t.mu.Lock()
	before, ok := t.of[path]
	t.of[path] = trusting{made, stamp}
	t.mu.Unlock()
	if ok {
		before.CloseIdleConnections()
	}
	return made, nil
}

// plain returns the transport for http.
func (t *transports) plain() *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.of[""]
	if !ok {
		known.Transport = t.transport(nil)
		t.of[""] = known
	}
	return known.Transport
}

func (t *transports) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, known := range t.of {
		known.CloseIdleConnections()
	}
	clear(t.of)
}

// stampOf finds a file of certificates; "" stands for the system's.
func stampOf(path string) (string, fileStamp, error) {
	paths := []string{path}
	if path == "" {
		paths = systemFiles
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			return path, fileStamp{info.Size(), info.ModTime(), info}, nil
		}
	}
	return "", fileStamp{}, errors.New("there is no file of certificates")
}

func readCertificates(path string) (*x509.CertPool, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxCAFile {
		return nil, fmt.Errorf("can't take certificates from %q: %w", path, cmp.Or(err, errors.ErrUnsupported))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%q has no certificates", path)
	}
	return pool, nil
}

// transport makes a transport. It speaks only HTTP/1.1: if exchanges shared a connection and it
// hung, all of them would hang.
func (t *transports) transport(trust *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                  proxyOf,
		DialContext:            t.dialOnce,
		TLSClientConfig:        trust,
		Protocols:              http1(),
		MaxIdleConns:           t.maxIdle,
		MaxIdleConnsPerHost:    min(t.maxIdle, mostIdlePerHost),
		IdleConnTimeout:        keptTime,
		MaxResponseHeaderBytes: maxHeader,
	}
}

func http1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// dialOnce connects, and sets unackedTime.
func (t *transports) dialOnce(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := t.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		giveUpUnacked(tcp, unackedTime)
	}
	return c, nil
}

// proxyKey is the key of the proxy's URL in the context of a request.
type proxyKey struct{}

func withProxy(ctx context.Context, proxy *url.URL) context.Context {
	return context.WithValue(ctx, proxyKey{}, proxy)
}

func proxyOf(q *http.Request) (*url.URL, error) {
	proxy, _ := q.Context().Value(proxyKey{}).(*url.URL)
	return proxy, nil
}
