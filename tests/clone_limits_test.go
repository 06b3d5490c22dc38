package tests

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const cloneRequest = "application/x-git-upload-pack-request"

// line is a pkt-line.
func line(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

func TestRequestsOfGitThatMakeNoSense(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	tip := r.Git("rev-parse", "main")
	d := start(t)
	d.pulled("m", r.Dir)
	want := "want " + tip
	for _, version := range protocols {
		for what, body := range map[string]string{
			"no length":            "hello",
			"ends in a line":       "0032want",
			"ends in a length":     "00",
			"length 3":             "0003",
			"longer than possible": "ffff" + strings.Repeat("x", 70000),
			"a sign":               "+005x",
			"binary":               "\x00\xff\x00\xff",
			"unknown words":        line("hello\n") + "0000",
			"unknown object":       line("want "+strings.Repeat("12", 20)+"\n") + "0000" + line("done\n"),
			"no object":            line("want HEAD\n") + "0000" + line("done\n"),
			"unknown command":      line("command=rm") + "00010000",
			"unknown argument":     line("command=ls-refs") + "0001" + line("--upload-pack=x") + "0000",
			"unknown capability":   line("command=ls-refs") + line("x=y") + "0001" + "0000",
			"another format":       line("command=ls-refs") + line("object-format=sha256") + "0001" + "0000",
			"no filter":            line(want+" filter\n") + line("filter nothing") + "0000" + line("done\n"),
			"fetch of nothing":     line("command=fetch") + "0001" + line("done") + line("want x") + "0000",
		} {
			a := d.do("POST", "/m/git-upload-pack", strings.NewReader(body), "Content-Type", cloneRequest, "Git-Protocol", "version="+version)
			refused := a.StatusCode/100 == 4
			told := a.StatusCode == 200 && len(a.body) > 8 && string(a.body[4:8]) == "ERR "
			if !refused && !told || a.err != nil {
				t.Errorf("protocol %s, %s: %s, %v\n%q", version, what, a.Status, a.err, a.text())
			}
		}
		// What git sends to see whether it is let in.
		d.do("POST", "/m/git-upload-pack", strings.NewReader("0000"), "Content-Type", cloneRequest, "Git-Protocol", "version="+version).
			expect(t, 200, "Content-Type", "application/x-git-upload-pack-result", "Cache-Control", "no-cache")
	}
	for header, status := range map[string]int{"version=9": 200, "x:version=2:y": 200, "version=\"2\"": 200, strings.Repeat("a", 5000): 200} {
		d.get("/m"+firstQuestion, "Git-Protocol", header).expect(t, status)
	}
	d.do("HEAD", "/m"+firstQuestion, nil).expect(t, 200, "X-State", "success")
	d.get("/m/info/refs").expect(t, 400).contains(t, "smart HTTP")
	d.get("/m/info/refs?service=git-upload-archive").expect(t, 403)
	d.get("/m/info/refs?service=%zz").expect(t, 400)
	d.get("/x/info/refs?service=git-upload-pack").expect(t, 404)
	d.get("/../m/info/refs?service=git-upload-pack").expect(t, 400)
	d.get("/info/refs?service=git-upload-pack").expect(t, 400)
	d.get("/.git/info/refs?service=git-upload-pack").expect(t, 400)
	d.get("/none/info/refs?service=git-upload-pack").expect(t, 404)
	d.do("POST", "/m/info/refs?service=git-upload-pack", nil).expect(t, 405, "Allow", "GET, HEAD")
	d.get("/m/git-upload-pack").expect(t, 405, "Allow", "POST")
	d.get("/m/git-receive-pack").expect(t, 405, "Allow", "POST")
	post := func(kind, coding, body string) answer {
		return d.do("POST", "/m/git-upload-pack", strings.NewReader(body), "Content-Type", kind, "Content-Encoding", coding)
	}
	post(formType, "", "0000").expect(t, 415)
	post("", "", "0000").expect(t, 415)
	post(cloneRequest, "br", "0000").expect(t, 415, "Accept-Encoding", "gzip")
	post(cloneRequest, "gzip", "0000").expect(t, 400)
	post(cloneRequest, "gzip", "").expect(t, 400)
	d.do("POST", "/none/git-upload-pack", strings.NewReader("0000"), "Content-Type", cloneRequest).expect(t, 404)
	eventually(t, "the end of all processes", func() bool { return len(d.children()) == 0 })
	d.clone("2", "m")
}

// TestABombOfGzip is noticed before git is started.
func TestABombOfGzip(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := io.CopyN(z, zeros{}, 70<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	send := func(body io.Reader) answer {
		return d.do("POST", "/m/git-upload-pack", body, "Content-Type", cloneRequest, "Content-Encoding", "gzip")
	}
	send(bytes.NewReader(bomb.Bytes())).expect(t, 413)
	send(bytes.NewReader(bomb.Bytes()[:bomb.Len()/2])).expect(t, 400)
	if pids := d.children(); len(pids) > 0 {
		t.Errorf("there are processes: %v", pids)
	}
	if entries, err := os.ReadDir(filepath.Join(d.storage, ".sould", "incoming")); len(entries) > 0 || err != nil {
		t.Errorf("there are files: %v, %v", entries, err)
	}
}

// zeros are the digit, for ever: flushes, in git's words.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// asked numbers requests, so that no two of them share an answer: each has something that
// nobody else has.
var asked atomic.Int64

// ask sends a request for all of a mirror's main, and leaves it at that.
func (d *daemon) ask(name, tip string) net.Conn {
	d.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil { // the pack must not fit
		d.t.Fatal(err)
	}
	body := line("want "+tip+" ofs-delta\n") + "0000" + line(fmt.Sprintf("have %040x\n", asked.Add(1))) + line("done\n")
	fmt.Fprintf(conn, "POST /%s/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", name, cloneRequest, len(body), body)
	return conn
}

// TestAClientThatGoesAway leaves no process, and its place to others.
func TestAClientThatGoesAway(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 8)
	tip := r.Git("rev-parse", "main")
	d := prepare(t, "max_clones = 1")
	release := d.holdPacks("held", 2_000_000)
	d.run()
	d.pulled("held", r.Dir)
	for range 3 {
		conn := d.ask("held", tip)
		if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil { // the pack is on its way
			t.Fatal(err)
		}
		if len(d.children()) == 0 {
			t.Fatal("no process makes the pack")
		}
		waiting := d.ask("held", tip)
		d.waitRead()
		waiting.Close() // in line
		conn.Close()
		eventually(t, "the end of all processes", func() bool { return len(d.children()) == 0 })
	}
	release()
	d.clone("2", "held")
}

// TestWhenTheLineIsFull the next client is told to come again, while others, who only
// want to know what is new, are answered at once.
func TestWhenTheLineIsFull(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	tip := r.Git("rev-parse", "main")
	d := prepare(t, "max_clones = 1")
	release := d.holdPacks("held", 100)
	d.run()
	d.pulled("m", r.Dir)
	d.pulled("held", r.Dir)
	dir := d.clone("2", "m")
	if _, err := io.ReadFull(d.ask("held", tip), make([]byte, 1)); err != nil { // has the place
		t.Fatal(err)
	}
	told := make(chan string, 2000)
	var readers sync.WaitGroup
	var conns []net.Conn
	for range 1001 {
		conn := d.ask("m", tip)
		conns = append(conns, conn)
		readers.Go(func() {
			answer := make([]byte, 4096)
			if n, _ := conn.Read(answer); n > 0 {
				told <- string(answer[:n])
			}
		})
	}
	select {
	case answer := <-told:
		if !strings.HasPrefix(answer, "HTTP/1.1 503") || !strings.Contains(answer, "Retry-After: 1") {
			t.Errorf("the 1001st in line was told\n%s", answer)
		}
	case <-time.After(patient):
		t.Error("nobody was told anything")
	}
	for _, version := range protocols {
		if out, err := gitClient(version, "-C", dir, "fetch", "--quiet"); err != nil {
			t.Errorf("protocol %s: a fetch with nothing new: %v\n%s", version, err, out)
		}
	}
	for _, conn := range conns {
		conn.Close()
	}
	readers.Wait()
	release()
}
