package publicnet

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// besides permits what Check permits, and one address more.
func besides(permitted string) func(netip.Addr) error {
	return func(a netip.Addr) error {
		if a.String() == permitted {
			return nil
		}
		return Check(a)
	}
}

// through returns a client that goes through a proxy.
func through(t *testing.T, proxy string) *http.Client {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestDial: whatever a host is called, its address counts.
func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1", "0.0.0.0", "::"} {
		c, err := New(Check).Dial(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, ErrPrivate) {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1"} { // which a resolver may take for an address, or for a name
		if c, err := New(Check).Dial(t.Context(), "tcp", net.JoinHostPort(host, port)); err == nil {
			c.Close()
			t.Errorf("%s leads to the loopback interface", host)
		}
	}
	c, err := New(besides("127.0.0.1")).Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal("what is permitted is not reached: ", err)
	}
	c.Close()
}

// TestProxy: http and https go through the proxy to what is permitted alone, also after a redirect.
func TestProxy(t *testing.T) {
	hidden := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "secret") }))
	defer hidden.Close()
	inside := strings.Replace(hidden.URL, "127.0.0.1", "localhost", 1)
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" || r.Header.Get("X-Forwarded-For") != "" {
			t.Errorf("the server is told of the proxy: %v", r.Header)
		}
		if r.URL.Path == "/away" {
			http.Redirect(w, r, strings.Replace(inside, "localhost", "127.0.0.2", 1), http.StatusFound)
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Host, r.URL, body)
	})
	plain, secure := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer plain.Close()
	defer secure.Close()
	g := New(besides("127.0.0.1"))
	defer g.Close()
	pass, err := g.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer pass.Close()
	client := through(t, pass.URL)
	for _, server := range []*httptest.Server{plain, secure} {
		resp, err := client.Post(server.URL+"/r?x=1", "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := server.Listener.Addr().String() + " /r?x=1 body"; string(text) != want {
			t.Errorf("%q, want %q", text, want)
		}
		if pass.Refused() != nil {
			t.Error(pass.Refused())
		}
	}
	for _, server := range []*httptest.Server{plain, secure} {
		resp, err := client.Get(server.URL + "/away")
		if err == nil {
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden || strings.Contains(string(text), "secret") {
				t.Errorf("%d: %s", resp.StatusCode, text)
			}
		}
		if !errors.Is(pass.Refused(), ErrPrivate) || !strings.Contains(pass.Refused().Error(), "127.0.0.2 is a loopback address") {
			t.Errorf("%v", pass.Refused())
		}
	}
	pass.Close()
	if resp, err := client.Get(plain.URL); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusProxyAuthRequired {
			t.Errorf("a pass that has ended: %d", resp.StatusCode)
		}
	}
}

// TestStrangersAtTheProxy get nothing.
func TestStrangersAtTheProxy(t *testing.T) {
	g := New(besides("127.0.0.1"))
	defer g.Close()
	pass, err := g.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer pass.Close()
	u, _ := url.Parse(pass.URL)
	for _, user := range []*url.Userinfo{nil, url.User("sould"), url.UserPassword("sould", "x"), url.UserPassword("sould", "")} {
		u.User = user
		resp, err := through(t, u.String()).Get("http://127.0.0.1:1/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusProxyAuthRequired {
			t.Errorf("%s: %d", user, resp.StatusCode)
		}
	}
	resp, err := http.Get("http://" + u.Host + "/x") // it is no server either
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusProxyAuthRequired {
		t.Error(resp.Status)
	}
}

// TestPassEnds: with a pass end the connections that were made with it.
func TestPassEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g := New(besides("127.0.0.1"))
	defer g.Close()
	pass, err := g.Open()
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(pass.URL)
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := http.Request{Method: http.MethodConnect, Host: l.Addr().String(), URL: &url.URL{Host: l.Addr().String()}, Header: http.Header{}}
	ask.SetBasicAuth("sould", pass.Secret)
	ask.Header["Proxy-Authorization"] = ask.Header["Authorization"]
	if err := ask.WriteProxy(c); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1024)
	if n, err := c.Read(buf); err != nil || !strings.Contains(string(buf[:n]), " 200 ") {
		t.Fatalf("%q %v", buf[:n], err)
	}
	pass.Close()
	if _, err := c.Read(buf); err == nil {
		t.Error("the connection is still there")
	}
}
