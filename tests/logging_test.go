package tests

import (
	"bytes"
	endian "encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRequestsInTheLog: at the level debug each request has a line, with the id that its lines have on
// the slaves as well, and without what a client may have put into a query.
func TestRequestsInTheLog(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	debug := `log_level = "debug"`
	slave := start(t, debug)
	d := start(t, "master = true", slaves(slave.url), debug)
	d.pulled("m", r.Dir)
	id := d.wait(`DEBUG request method=POST path=/ request=([A-Z0-9]{26}) status=200 bytes=\d+ took=\d+\.\d\ds client=127\.0\.0\.1:\d+ broken_off=false\n`)[1]
	for _, line := range []string{
		"INFO pulled mirror=m request=" + id + " took=", "INFO propagated mirror=m slaves=1 status=200 took=\\d+\\.\\d\\ds request=" + id, "DEBUG request method=POST path=/ request=" + id,
	} {
		d.wait(line)
		if !strings.Contains(line, "propagated") {
			slave.wait(line)
		}
	}
	d.get("/m?ref=main&format=tar.gz", "X-Request-Id", "a-1").expect(t, 200)
	d.wait(`method=GET path=/m query="format=tar\.gz&ref=main" request=[A-Z0-9]{26} proxy_request=a-1 status=200 bytes=\d{3,} `)
	d.get("/m?token=s3cret", "X-Request-Id", "a 1").expect(t, 400)
	d.wait(`method=GET path=/m query="token=\*\*\*" request=[A-Z0-9]{26} status=400 `)
	tellsNothing(t, []string{"s3cret", "a 1"}, d.log.String())

	d.reload("master = true", slaves(slave.url))
	before := d.log.String()
	d.get("/m").expect(t, 200)
	d.pulled("m", r.Dir)
	if after := strings.TrimPrefix(d.log.String(), before); strings.Contains(after, "DEBUG") {
		t.Errorf("the log is\n%s", after)
	}
}

func TestLogInJSON(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := prepare(t, `log_format = "json"`)
	d.launch()
	d.t.Cleanup(d.stop)
	d.url = "http://" + d.wait(`"msg":"started","listen":"([^"]+)"`)[1]
	d.pulled("m", r.Dir)
	d.post("n", "/nowhere")
	d.wait(`"msg":"can't pull","mirror":"n"`)
	for line := range strings.Lines(d.log.String()) {
		var fields map[string]string
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if _, err := time.Parse(time.RFC3339Nano, fields["time"]); err != nil || fields["msg"] == "" || fields["level"] == "" {
			t.Errorf("%s: %v", line, err)
		}
		if fields["level"] == "ERROR" && (!strings.Contains(fields["tree"], "\n└─ ") || fields["took"] == "") {
			t.Errorf("%s", line)
		}
	}
	d.configure(`log_format = "text"`)
	d.signal(syscall.SIGHUP)
	d.wait(`(?m)^\S+Z INFO reloaded `)
}

// journal is a socket in the place of systemd's journal.
type journal struct {
	t      *testing.T
	socket *net.UnixConn
	stderr *os.File
}

// entry waits for the next entry of the journal.
func (j *journal) entry() map[string]string {
	j.t.Helper()
	if err := j.socket.SetReadDeadline(time.Now().Add(patient)); err != nil {
		j.t.Fatal(err)
	}
	buf := make([]byte, 256<<10)
	n, err := j.socket.Read(buf)
	if err != nil {
		j.t.Fatal(err)
	}
	fields := make(map[string]string)
	for rest := buf[:n]; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		key, value, short := strings.Cut(string(line), "=")
		if !short { // its length and the value follow
			size := endian.LittleEndian.Uint64(after)
			value, after = string(after[8:8+size]), after[8+size+1:]
		}
		fields[key], rest = value, after
	}
	return fields
}

// until waits for an entry whose message matches.
func (j *journal) until(pattern string) map[string]string {
	j.t.Helper()
	for {
		if fields := j.entry(); regexp.MustCompile(pattern).MatchString(fields["MESSAGE"]) {
			return fields
		}
	}
}

// TestJournal: on a standard error that is the journal's, each record is one entry with its priority.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	j := &journal{t: t}
	path := filepath.Join(dir, "journal")
	var err error
	if j.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	defer j.socket.Close()
	if j.stderr, err = os.Create(filepath.Join(dir, "stderr")); err != nil {
		t.Fatal(err)
	}
	defer j.stderr.Close()
	program := filepath.Join(dir, "sould")
	build := exec.Command("go", "build", "-o", program, "-ldflags", "-X github.com/coreos/go-systemd/v22/journal.journalSocket="+path, "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(j.stderr.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	d := prepare(t)
	run := func(env string) *exec.Cmd {
		cmd := exec.Command(program, "-c", d.conf)
		cmd.Stderr = j.stderr
		cmd.Env = append(environ(), env)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	stream := fmt.Sprintf("JOURNAL_STREAM=%d:%d", stat.Dev, stat.Ino)
	cmd := run(stream)
	started := j.until("^INFO started ")
	if started["PRIORITY"] != "6" || started["SYSLOG_IDENTIFIER"] != "sould" || started["SOULD_LISTEN"] == "" {
		t.Errorf("the start is %v", started)
	}
	d.url = "http://" + started["SOULD_LISTEN"]
	d.post("m", "http://u:s3cr3t@127.0.0.1:1/x").expect(t, 500)
	if failed := j.until("^ERROR can't pull mirror=m "); failed["PRIORITY"] != "3" || failed["SOULD_MIRROR"] != "m" ||
		!regexp.MustCompile(`\n    can't list refs\n    └─ `).MatchString(failed["MESSAGE"]) || strings.Contains(fmt.Sprint(failed), "s3cr3t") {
		t.Errorf("the failure is %v", failed)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if stopping := j.until("^INFO stopping"); stopping["PRIORITY"] != "6" {
		t.Errorf("the end is %v", stopping)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	d.configure(`listen = "nowhere"`)
	if err := run(stream).Wait(); err == nil {
		t.Error("it starts with a configuration that is wrong")
	}
	if fields := j.entry(); fields["PRIORITY"] != "3" || !strings.Contains(fields["MESSAGE"], "can't start: ") {
		t.Errorf("that it cannot start is %v", fields)
	}
	if text, err := os.ReadFile(j.stderr.Name()); len(text) > 0 || err != nil {
		t.Errorf("standard error has %s, %v", text, err)
	}
	// A stream that somebody has redirected is not the journal's.
	_ = run("JOURNAL_STREAM=1:2").Wait()
	if text, err := os.ReadFile(j.stderr.Name()); !strings.Contains(string(text), "can't start: ") || err != nil {
		t.Errorf("standard error has %s, %v", text, err)
	}
}
