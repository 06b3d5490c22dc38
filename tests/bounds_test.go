package tests

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconquest/sould/tests/origin"
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
		if took := time.Since(began); a.StatusCode != 200 || a.err != nil || took > patient/2 {
			d.t.Fatalf("%s: GET %d: %s after %s, %v\n%s", what, i, a.Status, took, a.err, a.text())
		}
		etag := a.Header.Get("Etag")
		if a := d.get("/m?path=dir", "If-None-Match", etag); a.StatusCode != http.StatusNotModified {
			d.t.Fatalf("%s: %s instead of 304\n%s", what, a.Status, a.text())
		}
	}
}

// healthy checks that whoever asks after the health is told that all is well, soon.
func (d *daemon) healthy(what string) {
	d.t.Helper()
	for i := range 10 {
		began := time.Now()
		a, err := d.try("GET", "/x/health", nil)
		if took := time.Since(began); err != nil || a.StatusCode != 200 || took > patient/2 {
			d.t.Fatalf("%s: health %d: %v, %s after %s", what, i, err, a.text(), took)
		}
	}
}

// TestWaitingPosts: all that POST wait for an origin that says nothing, or for a slave
// that does not, and who asks after the health is answered all the same.
func TestWaitingPosts(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 1)
	server := origin.ServeHTTP(t, filepath.Dir(r.Dir))
	proxy := origin.NewProxy(t, server.URL)
	url := "http://" + proxy.Addr + "/" + filepath.Base(r.Dir)
	mute := origin.BlackHole(t)
	for _, c := range []struct {
		what, name string
		lines      []string
	}{
		{"for one mirror", "m", nil},
		{"each for its own mirror", "m%d", nil},
		{"for a slave", "m%d", []string{"master = true", slaves("http://" + mute), `timeout = "10m"`}},
	} {
		t.Run(c.what, func(t *testing.T) {
			proxy.Set(origin.Fault{})
			d := prepare(t, append(c.lines, `list_timeout = "10m"`, `fetch_timeout = "10m"`)...) // nobody is done before the test is
			d.ulimit = "-n 256"
			d.run()
			d.post("other", r.Dir, "wait", "100ms") // its slave may say nothing
			if len(c.lines) == 0 {
				proxy.Set(origin.Fault{Mute: true})
			}
			posts := make([]string, 300)
			for i := range posts {
				name := strings.Replace(c.name, "%d", strconv.Itoa(i), 1)
				body := fields(name, url)
				posts[i] = fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", formType, len(body), body)
			}
			for _, post := range posts {
				d.crowd(1, post)
			}
			d.waitRead()
			d.healthy(c.what)
			if n := d.descriptors(); n > 256-16 {
				t.Errorf("%d descriptors are open", n)
			}
			t.Logf("%d descriptors, %d children", d.descriptors(), len(d.holders()))
			if a := d.get("/other"); a.StatusCode != 503 {
				t.Errorf("where nearly all connections are being answered, another one is told %s", a.Status)
			}
			d.kill() // nobody waits for the end of all that
			d.killChildren()
		})
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
			d.healthy(c.what)
			d.answers(c.what)
			t.Logf("%d descriptors, %d MB resident", d.descriptors(), d.kernel("VmRSS")>>10)
			d.pulled("m", r.Dir)
		})
	}
}

// TestNoMoreProcesses takes from a daemon that has started the right to make threads
// and processes. What is there is still served, to many at once; a pull fails with the
// reason.
func TestNoMoreProcesses(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"setpriv", "prlimit"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s on this machine", tool)
		}
	}
	r := bigOrigin(t, 4)
	d := prepare(t)
	if os.Getuid() == 0 { // root has no such limit
		const nobody = 54_321
		d.setUser(nobody)
	}
	server := origin.ServeHTTP(t, filepath.Dir(r.Dir))
	url := server.URL + "/" + filepath.Base(r.Dir)
	d.run()
	d.pulled("m", url)
	for _, path := range []string{"/m", "/m?path=dir"} {
		d.get(path).expect(t, 200)
	}
	d.limitProcesses(1)
	var clients sync.WaitGroup
	for i := range shortOrLong(50, 200) {
		clients.Go(func() {
			for range 5 {
				if i%2 == 0 {
					d.crowd(1, "GET /m HTTP/1.1\r\nHost: x\r\n\r\n")
				}
				if a, err := d.try("GET", "/m?path=dir", nil); err != nil || a.StatusCode != 200 || a.err != nil {
					t.Errorf("%v, %v, %s", err, a.err, a.text())
					return
				}
			}
		})
	}
	clients.Wait()
	d.healthy("no more processes")
	d.answers("no more processes")
	d.pulled("m", url).contains(t, "unchanged") // which takes none
	r.Commit("new", map[string]string{"file": "new"})
	d.post("m", url).expect(t, 500).contains(t, "resource temporarily unavailable")
	d.get("/m?format=zip").expect(t, 500).contains(t, "resource temporarily unavailable")
	d.answers("no more processes")
	d.limitProcesses(1000)
	d.pulled("m", url)
}

// limitProcesses sets how many processes and threads the daemon's user may have before
// the daemon can make no more.
func (d *daemon) limitProcesses(n int) {
	d.t.Helper()
	args := []string{"prlimit", "--pid", strconv.Itoa(d.cmd.Process.Pid), fmt.Sprintf("--nproc=%d:", n)}
	if d.user != "" { // only the user's own processes may do that
		args = append([]string{"setpriv", "--reuid=" + d.user, "--regid=" + d.user, "--clear-groups"}, args...)
	}
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// setUser makes the daemon run as another user, for whom its directories are opened.
func (d *daemon) setUser(uid int) {
	d.t.Helper()
	for _, dir := range []string{filepath.Dir(binary), filepath.Dir(filepath.Dir(d.storage))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Dir(d.storage), uid, uid); err != nil {
		d.t.Fatal(err)
	}
	d.user = strconv.Itoa(uid)
}
