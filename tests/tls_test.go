package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// authority makes certificates for 127.0.0.1.
type authority struct {
	t      *testing.T
	dir    string
	file   string // its own certificate
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), serial: 1}
	a.file = filepath.Join(a.dir, "ca.pem")
	a.cert = &x509.Certificate{
		Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, a.cert = a.sign(a.cert, a.file, filepath.Join(a.dir, "ca.key"))
	return a
}

// sign makes a key and a certificate, signed by the authority or, if it has no key
// yet, by itself.
func (a *authority) sign(template *x509.Certificate, certFile, keyFile string) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(a.serial)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, cert
}

// issue makes a new certificate and returns the lines of configuration that name it.
func (a *authority) issue() (lines []string, serial int64) {
	a.t.Helper()
	a.serial++
	base := filepath.Join(a.dir, fmt.Sprint(a.serial))
	a.sign(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, base+".pem", base+".key")
	return []string{fmt.Sprintf("tls_cert = %q", base+".pem"), fmt.Sprintf("tls_key = %q", base+".key")}, a.serial
}

// client trusts the authority, and nobody else.
func (a *authority) client() *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &http.Client{Timeout: patient, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true, ForceAttemptHTTP2: true,
	}}
}

// fetch gets a URL and returns the answer, read, with the serial number of its server.
func (a *authority) fetch(c *http.Client, url string) (text string, serial int64, err error) {
	answer, err := c.Get(url)
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	switch {
	case err == nil && answer.StatusCode != http.StatusOK:
		err = fmt.Errorf("%s: %s", answer.Status, body)
	case answer.ProtoMajor != 1:
		err = fmt.Errorf("spoken is %s", answer.Proto)
	}
	if answer.TLS != nil {
		serial = answer.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	return string(body), serial, err
}

func TestSlavesOverHTTPS(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	ca, other := newAuthority(t), newAuthority(t)
	lines, _ := ca.issue()
	withToken := fmt.Sprintf("token = %q", token)
	slave := start(t, append(lines, withToken)...)
	https := strings.Replace(slave.url, "http://", "https://", 1)
	trust := func(a *authority) string { return fmt.Sprintf("tls_ca = %q", a.file) }
	d := start(t, "master = true", slaves(https), withToken, trust(ca))
	d.postAs(bearer(token), "m", r.Dir).expect(t, 200).contains(t, "1 ref changed")
	plain, _, err := ca.fetch(client, d.url+"/m")
	if err != nil {
		t.Fatal(err)
	}
	if encrypted, _, err := ca.fetch(ca.client(), https+"/m"); err != nil || encrypted != plain {
		t.Errorf("the slave's archive has %d bytes, %v", len(encrypted), err)
	}
	if encrypted, _, err := ca.fetch(ca.client(), https+"/m?format=tar.gz"); err != nil || !strings.HasPrefix(encrypted, "\x1f\x8b") {
		t.Errorf("an archive that is made meanwhile: %d bytes, %v", len(encrypted), err)
	}

	// Not by anybody else's word, nor without encryption.
	for _, c := range []struct {
		lines []string
		why   []string
	}{
		{[]string{slaves(https), trust(other)}, []string{"failed to verify certificate", "certificate signed by unknown authority"}},
		{[]string{slaves(https)}, []string{"certificate signed by unknown authority"}},
		{[]string{slaves(strings.Replace(https, "127.0.0.1", "localhost", 1)), trust(ca)}, []string{"wanted to match localhost"}},
		{[]string{slaves(slave.url), trust(ca)}, []string{"HTTP request to an HTTPS server"}},
	} {
		d.reload(append(c.lines, "master = true", withToken)...)
		d.postAs(bearer(token), "m", r.Dir).expect(t, 502).contains(t, append(c.why, "pulled: master")...)
	}
	d.reload("master = true", slaves(https), withToken, trust(ca))
	d.postAs(bearer(token), "m", r.Dir).expect(t, 200)
	tellsNothing(t, []string{token}, d.log.String(), slave.log.String())

	old := ca.client()
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
	old.Transport.(*http.Transport).TLSClientConfig.MinVersion = tls.VersionTLS10
	if _, _, err := ca.fetch(old, https+"/m"); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v", err)
	}
}

// TestCertificatesAreReloaded, while clients read, without one failed request; and
// encryption itself is turned off and on, on the address that stays.
func TestCertificatesAreReloaded(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	ca := newAuthority(t)
	d := start(t)
	d.pulled("m", r.Dir)
	lines, first := ca.issue()
	keeping := ca.client()
	keeping.Transport.(*http.Transport).DisableKeepAlives = false
	t.Cleanup(keeping.CloseIdleConnections)
	http1, _, err := ca.fetch(keeping, d.url+"/m")
	if err != nil {
		t.Fatal(err)
	}
	d.reload(lines...)
	https := strings.Replace(d.url, "http://", "https://", 1)
	// A connection from before still gets its answer, and is closed then.
	if got, _, err := ca.fetch(keeping, d.url+"/m"); got != http1 || err != nil {
		t.Errorf("over a connection from before: %d bytes, %v", len(got), err)
	}
	if _, _, err := ca.fetch(keeping, d.url+"/m"); err == nil || !strings.Contains(err.Error(), "HTTP request to an HTTPS server") {
		t.Errorf("without encryption, once it is on: %v", err)
	}

	var latest, seen atomic.Int64 // serial numbers
	var stop atomic.Bool
	var clients sync.WaitGroup
	latest.Store(first)
	for i := range 4 {
		clients.Go(func() {
			c := ca.client()
			c.Transport.(*http.Transport).DisableKeepAlives = i%2 == 0
			defer c.CloseIdleConnections()
			for !stop.Load() {
				least := latest.Load()
				got, serial, err := ca.fetch(c, https+"/m")
				if err != nil || got != http1 || i%2 == 0 && serial < least {
					t.Errorf("%d bytes, certificate %d, want %d or later; %v", len(got), serial, least, err)
					return
				}
				if i == 0 {
					seen.Store(serial)
				}
			}
		})
	}
	for range 5 {
		lines, serial := ca.issue()
		d.reload(lines...)
		latest.Store(serial)
		eventually(t, "the new certificate", func() bool { return seen.Load() == serial || t.Failed() })
	}
	// What does not fit is not taken.
	otherLines, _ := ca.issue()
	refused := func() int { return strings.Count(d.log.String(), "ERROR not reloaded") }
	before := refused()
	d.configure(lines[0], otherLines[1])
	d.signal(syscall.SIGHUP)
	eventually(t, "the refusal", func() bool { return refused() > before })
	if !strings.Contains(d.log.String(), "private key does not match public key") {
		t.Errorf("no reason in the log:\n%s", d.log)
	}
	stop.Store(true)
	clients.Wait()

	d.reload()
	d.get("/m").expect(t, 200)
	// On another address, and on the same port, where the listener is a new one.
	port := d.url[strings.LastIndexByte(d.url, ':')+1:]
	d.reload(append(lines, fmt.Sprintf("listen = \":%s\"", port))...)
	if _, _, err := ca.fetch(ca.client(), https+"/m"); err != nil {
		t.Error(err)
	}
}

// TestAMuteClientOfHTTPS does not hold a connection for ever, nor keep others waiting.
func TestAMuteClientOfHTTPS(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	ca := newAuthority(t)
	lines, _ := ca.issue()
	d := start(t)
	d.pulled("m", r.Dir)
	d.reload(lines...)
	var clients sync.WaitGroup
	address := strings.TrimPrefix(d.url, "http://")
	for _, says := range []string{"", "\x16\x03\x01\x02\x00\x01", "\x16\x03\x01"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			defer conn.Close()
			fmt.Fprint(conn, says)
			if err := conn.SetReadDeadline(time.Now().Add(patient)); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("after %q: %v", says, err)
			}
		})
	}
	if _, _, err := ca.fetch(ca.client(), "https://"+address+"/m"); err != nil {
		t.Error(err)
	}
	clients.Wait()
}
