package origin

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"sync/atomic"
)

// Forward is a proxy of HTTP, as clients are told of by http_proxy and https_proxy.
type Forward struct {
	URL    string
	Passed atomic.Int64 // requests and tunnels
}

// ServeForward starts such a proxy.
func ServeForward(t T) *Forward {
	t.Helper()
	f := &Forward{}
	behind := &httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) {}, // a client names the whole URL
		Transport: &http.Transport{Proxy: nil},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.Passed.Add(1)
		if r.Method == http.MethodConnect {
			tunnel(w, r.Host)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	f.URL = server.URL
	t.Cleanup(server.Close)
	return f
}

// tunnel connects a client with a host.
func tunnel(w http.ResponseWriter, host string) {
	server, err := net.Dial("tcp", host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	w.WriteHeader(http.StatusOK)
	client, rest, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	go func() {
		_, _ = io.Copy(server, rest)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
}
