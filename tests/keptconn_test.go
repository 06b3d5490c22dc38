package tests

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// TestAKeptConnectionThatIsClosed by a slave, just when a POST is sent on it, is no failure: the POST is
// sent again on a new one.
func TestAKeptConnectionThatIsClosed(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	slave := start(t)
	u, err := url.Parse(slave.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	var known sync.Map
	var closed atomic.Int64
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if _, kept := known.LoadOrStore(q.RemoteAddr, true); !kept || q.Method != http.MethodPost {
			proxy.ServeHTTP(w, q)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		closed.Add(1)
		conn.Close()
	}))
	t.Cleanup(between.Close)
	d := start(t, "master = true", slaves(between.URL))
	for range 3 {
		d.post("m", r.Dir).expect(t, 200)
	}
	if closed.Load() == 0 {
		t.Error("no connection was kept")
	}
}
