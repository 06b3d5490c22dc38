package tests

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestReloadUnderLoad turns a slave into a master and back, with other slaves,
// timeouts and addresses each time, while clients read and write.
func TestReloadUnderLoad(t *testing.T) {
	r := newOrigin(t)
	a, b := start(t), start(t)
	d := start(t)
	d.pulled("m", r.Dir)

	var stop atomic.Bool
	var clients sync.WaitGroup
	var requests, posts atomic.Int64
	url := atomic.Pointer[string]{}
	url.Store(&d.url)
	for i := range 8 {
		clients.Go(func() {
			for !stop.Load() {
				// The address that is in force when the request begins.
				at := *url.Load()
				var err error
				var status int
				if i == 0 {
					var response *http.Response
					if response, err = http.Post(at, formType, form("m", r.Dir)); err == nil {
						status = response.StatusCode
						response.Body.Close()
					}
					posts.Add(1)
				} else {
					var got answer
					if got, err = (&daemon{t: t, url: at}).try("GET", "/m", nil); err == nil {
						status = got.StatusCode
						err = got.err
					}
				}
				if err != nil || status != 200 {
					t.Errorf("%s: status %d, %v", at, status, err)
				}
				requests.Add(1)
			}
		})
	}
	ports := []string{freePort(t), freePort(t)}
	for i := range 12 {
		lines := []string{fmt.Sprintf(`listen = "127.0.0.1:%s"`, ports[i%2])}
		if i%3 != 0 {
			lines = append(lines, "master = true", fmt.Sprintf("timeout = %d", 5000+i), slaves([]string{a.url, b.url}[i%2]))
		}
		// Whoever begins while the address changes waits: it cannot know where to go.
		before := strings.Count(d.log.String(), "reloaded")
		d.configure(lines...)
		next := "http://127.0.0.1:" + ports[i%2]
		d.signal(syscall.SIGHUP)
		eventually(t, "the new address", func() bool {
			conn, err := net.Dial("tcp", "127.0.0.1:"+ports[i%2])
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		url.Store(&next)
		eventually(t, "a reload", func() bool { return strings.Count(d.log.String(), "reloaded") > before })
		seen, posted := requests.Load(), posts.Load()
		// Of two POSTs that end now, the second one has begun since.
		eventually(t, "some requests", func() bool { return requests.Load() > seen+20 && posts.Load() >= posted+2 })
	}
	stop.Store(true)
	clients.Wait()
	if a.get("/m").StatusCode != 200 || b.get("/m").StatusCode != 200 {
		t.Error("a slave has not been asked")
	}
}

func TestReloadKeepsWhatARequestBeganWith(t *testing.T) {
	url, arrived, held := heldOrigin(t)
	d := start(t)
	answers := make(chan answer)
	go func() { answers <- d.post("m", url) }()
	<-arrived
	d.reload(fmt.Sprintf(`listen = "127.0.0.1:%s"`, freePort(t)), "master = true", slaves("127.0.0.1:1"))
	held.release()
	(<-answers).expect(t, 200) // no slave was asked
}

func TestABrokenReloadChangesNothing(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for i, lines := range [][]string{
		{"master = true", "tiemout = 1"},
		{"master = true", "[["},
		{"master = true", "listen = \"" + taken.Addr().String() + "\""},
		{"master = true", "listen = \"192.0.2.1:" + d.url[strings.LastIndexByte(d.url, ':')+1:] + "\""}, // on the same port
	} {
		d.configure(lines...)
		d.signal(syscall.SIGHUP)
		eventually(t, "the refusal", func() bool { return strings.Count(d.log.String(), "ERROR not reloaded") == i+1 })
		d.get("/m").expect(t, 200)
	}
	storage := d.storage
	d.storage += "2"
	d.configure()
	d.storage = storage
	d.signal(syscall.SIGHUP)
	d.wait("storage: can't change from .* without a restart")
	d.get("/m").expect(t, 200)
	if strings.Contains(d.log.String(), "reloaded listen") {
		t.Errorf("something was reloaded:\n%s", d.log)
	}
}

func TestReloadOnTheSamePort(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	port := d.url[strings.LastIndexByte(d.url, ':')+1:]
	d.reload(fmt.Sprintf("listen = \":%s\"", port))
	d.get("/m").expect(t, 200)
	d.reload(fmt.Sprintf("listen = \"127.0.0.1:%s\"", port))
	d.get("/m").expect(t, 200)
}
