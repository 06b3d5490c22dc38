package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// activated prepares a sould that gets a socket from its service manager, which keeps it over restarts,
// and returns the socket's address.
func activated(t *testing.T, lines ...string) (d *daemon, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	t.Cleanup(func() { socket.Close() })
	d = prepare(t, lines...)
	pass(d, socket)
	return d, address
}

// pass passes files as a service manager does (sd_listen_fds(3)).
func pass(d *daemon, files ...*os.File) {
	d.files = files
	d.env = append(d.env, fmt.Sprintf("LISTEN_FDS=%d", len(files)))
	d.before = []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}
}

// TestARestartDropsNoConnection: whoever connects while the daemon restarts waits, and is answered. So it
// is before and after a reload has changed listen, since the socket stays where it is.
func TestARestartDropsNoConnection(t *testing.T) {
	r := newOrigin(t)
	ports := []string{freePort(t), freePort(t)}
	d, address := activated(t, `listen = "127.0.0.1:`+ports[0]+`"`)
	d.run()
	d.pulled("m", r.Dir)

	var stop atomic.Bool
	var clients sync.WaitGroup
	var answered atomic.Int64
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				response, err := client.Get("http://" + address + "/m")
				if err != nil {
					t.Error(err)
					return
				}
				if _, err = io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != 200 {
					t.Errorf("%s, %v", response.Status, err)
				}
				response.Body.Close()
				answered.Add(1)
			}
		})
	}
	some := func() {
		before := answered.Load()
		eventually(t, "some answers", func() bool { return answered.Load() > before+20 || t.Failed() })
	}
	for i := range 4 {
		some()
		d.reload(`listen = "127.0.0.1:` + ports[i%2] + `"`)
		some()
		d.url = "http://127.0.0.1:" + ports[i%2]
		d.get("/m").expect(t, 200) // both are served
		d.stop()
		d.run()
	}
	some()
	stop.Store(true)
	clients.Wait()
}

// TestPassedSocketStandsForListen where it is the same address, or where listen is not set; and a reload
// goes from it to another address and back.
func TestPassedSocketStandsForListen(t *testing.T) {
	d, address := activated(t)
	_, port, _ := strings.Cut(address, ":")
	other := "127.0.0.1:" + freePort(t)
	d.configure(`listen = "` + address + `"`)
	d.run()
	if d.url != "http://"+address || strings.Contains(d.log.String(), "sockets=") {
		t.Errorf("listens on %s, not only on %s:\n%s", d.url, address, d.log)
	}
	d.reload(`listen = "` + other + `"`)
	d.wait(`INFO reloaded listen=` + other + ` sockets=` + address)
	for _, at := range []string{address, other} {
		(&daemon{t: t, url: "http://" + at}).get("/x/health").expect(t, 200)
	}
	d.configure(`listen = ":` + port + `"`) // which the socket has in part, and the manager does not give away
	d.signal(syscall.SIGHUP)
	d.wait(`ERROR not reloaded(.|\n)*address already in use; the service manager has opened ` + address)
	d.reload(`listen = "` + address + `"`)
	eventually(t, "the other address is given up", func() bool {
		c, err := net.Dial("tcp", other)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	d.get("/x/health").expect(t, 200)
	d.stop()

	if err := os.WriteFile(d.conf, []byte(fmt.Sprintf("storage = %q\n", d.storage)), 0o644); err != nil { // no listen
		t.Fatal(err)
	}
	d.run()
	if d.url != "http://"+address {
		t.Errorf("listens on %s, not on %s", d.url, address)
	}
}

// TestSocketOfAnotherKind is refused, in words.
func TestSocketOfAnotherKind(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	d := prepare(t)
	pass(d, socket)
	d.launch()
	<-d.exited
	if !strings.Contains(lastLine(d.log.String()), "passed a socket that does not listen for TCP") || d.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%s\n%s", d.cmd.ProcessState, d.log)
	}
}
