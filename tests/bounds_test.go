package tests

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crowd opens connections that say that much and no more, until the kernel has no more
// descriptors for this process, and returns how many it has got.
func (d *daemon) crowd(n int, text string) (opened int) {
	d.t.Helper()
	for range n {
		c, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		if errors.Is(err, syscall.EMFILE) {
			return opened
		}
		if err != nil {
			d.t.Fatal(err)
		}
		d.t.Cleanup(func() { c.Close() })
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		_, _ = io.WriteString(c, text) // one that is closed already was turned away
		opened++
	}
	return opened
}

// answers checks that the daemon answers newcomers, soon and from what it has.
func (d *daemon) answers(what string) {
	d.t.Helper()
	for i := range 10 {
		began := time.Now()
		a := d.get("/m?path=dir")
		if took := time.Since(began); a.StatusCode != 200 || a.err != nil || took > 5*time.Second {
			d.t.Fatalf("%s: GET %d: %s after %s, %v\n%s", what, i, a.Status, took, a.err, a.text())
		}
		etag := a.Header.Get("Etag")
		if a := d.get("/m?path=dir", "If-None-Match", etag); a.StatusCode != http.StatusNotModified {
			d.t.Fatalf("%s: %s instead of 304\n%s", what, a.Status, a.text())
		}
	}
}

// TestBounds: ten thousand idle connections, half requests, slow readers, and few
// descriptors. Whoever comes then is answered.
func TestBounds(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 4)
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	most := min(shortOrLong(2000, 10_000), int(own.Cur)*3/4)
	for _, c := range []struct {
		what, ulimit, text string
		n                  int
	}{
		{"idle", "", "", most},
		{"idle, few descriptors", "-n 256", "", 600},
		{"half a request, few descriptors", "-n 256", "GET /m HTTP/1.1\r\nHost: x\r\n", 600},
		{"kept alive, few descriptors", "-n 256", "HEAD /m HTTP/1.1\r\nHost: x\r\n\r\n", 600},
		{"slow readers", "", "GET /m HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		{"slow readers, few descriptors", "-n 256", "GET /m HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		{"slow readers of what grows, few descriptors", "-n 256", "GET /m?format=zip HTTP/1.1\r\nHost: x\r\n\r\n", 200},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := prepare(t)
			d.ulimit = c.ulimit
			d.run()
			d.pulled("m", r.Dir)
			d.get("/m").expect(t, 200)
			d.get("/m?path=dir").expect(t, 200)
			if n := d.crowd(c.n, c.text); n < c.n {
				t.Logf("only %d connections can be made here", n)
			}
			d.answers(c.what)
			t.Logf("%d descriptors, %d MB resident", d.descriptors(), d.status("VmRSS")>>10)
			d.pulled("m", r.Dir)
		})
	}
}
