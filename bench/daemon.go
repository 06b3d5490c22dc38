package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/reconquest/sould/tests/origin"
)

// daemon is a running sould.
type daemon struct {
	b       *bench
	url     string
	storage string
	pid     int
	gone    chan struct{} // closed when it has ended
	client  *http.Client
}

// start starts a sould with these lines of configuration.
func (b *bench) start(lines ...string) *daemon {
	return b.startOn(filepath.Join(b.TempDir(), "storage"), lines...)
}

// startOn starts a sould on a storage that may exist already.
func (b *bench) startOn(storage string, lines ...string) *daemon {
	dir := b.TempDir()
	d := &daemon{b: b, storage: storage, gone: make(chan struct{}), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}}
	conf := filepath.Join(dir, "conf")
	text := fmt.Sprintf("listen = \"127.0.0.1:0\"\nstorage = %q\n%s\n", d.storage, strings.Join(lines, "\n"))
	b.check(os.WriteFile(conf, []byte(text), 0o644))
	cmd := exec.Command(b.binary, "-c", conf, "--unsecure")
	stderr, err := cmd.StderrPipe()
	b.check(err)
	b.check(cmd.Start())
	d.pid = cmd.Process.Pid
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	log := bufio.NewScanner(stderr)
	started := regexp.MustCompile(`listen=(\S+)`)
	for log.Scan() {
		if m := started.FindStringSubmatch(log.Text()); m != nil {
			d.url = "http://" + m[1]
			break
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, stderr)
		close(d.gone)
	}()
	if d.url == "" {
		b.Fatalf("sould does not start")
	}
	return d
}

// stop ends a daemon before the rest.
func (d *daemon) stop() {
	_ = syscall.Kill(d.pid, syscall.SIGTERM)
}

// finish ends a daemon and waits until its storage is free.
func (d *daemon) finish() {
	d.stop()
	<-d.gone
}

func (d *daemon) post(name, origin string) {
	response, err := d.client.PostForm(d.url, url.Values{"name": {name}, "origin": {origin}})
	d.b.check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	d.b.check(err)
	if response.StatusCode != http.StatusOK {
		d.b.Fatalf("POST: %s\n%s", response.Status, body)
	}
}

// get asks for a path and returns how many bytes came. It is as lean as a client can
// be, since it shares the machine with the server.
func (d *daemon) get(path string) (size int64) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	d.b.check(err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
	d.b.check(err)
	buf := make([]byte, 256<<10)
	n, err := conn.Read(buf)
	head, _, _ := bytes.Cut(buf[:n], []byte("\r\n\r\n"))
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
		d.b.Fatalf("GET %s: %s", path, head)
	}
	chunked, last := bytes.Contains(head, []byte("Transfer-Encoding: chunked")), []byte(nil)
	size = int64(n - len(head) - 4)
	for ; err == nil; size += int64(n) {
		last = append(last[:0], buf[max(0, n-5):n]...)
		n, err = conn.Read(buf)
	}
	if err != io.EOF || chunked && !bytes.HasSuffix(last, []byte("0\r\n\r\n")) && len(last) == 5 {
		d.b.Fatalf("GET %s: broken off: %v", path, err)
	}
	return size
}

// resident is the memory of a process in MB (proc(5), VmRSS).
func (b *bench) resident(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	b.check(err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kB float64
	_, err = fmt.Sscan(rest, &kB)
	b.check(err)
	return kB / 1024
}

// git runs git with its output to a pipe that is read, and returns how much it was.
func (b *bench) git(args ...string) int64 { return b.read(origin.Command(args...)) }

// read runs a command and returns how much it prints.
func (b *bench) read(cmd *exec.Cmd) int64 {
	out, err := cmd.StdoutPipe()
	b.check(err)
	cmd.Stderr = os.Stderr
	b.check(cmd.Start())
	n, err := io.Copy(io.Discard, out)
	b.check(err)
	b.check(cmd.Wait())
	return n
}
