package tests

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

func freePort(t *testing.T) string {
	t.Helper()
	return origin.FreePort(t)
}

func TestServiceManagerIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	states := make(chan string, 16)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				close(states)
				return
			}
			states <- string(buf[:n])
		}
	}()
	d := prepare(t)
	d.env = []string{"NOTIFY_SOCKET=" + socket}
	d.run()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-states:
			if !strings.HasPrefix(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
		case <-time.After(patient):
			t.Errorf("not told %q", want)
		}
	}
	expect("READY=1")
	d.signal(syscall.SIGHUP)
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1")
	d.stop()
	expect("STOPPING=1")
}

// TestNobodyReadsTheLog any more: what the server writes to is a pipe without an end.
func TestNobodyReadsTheLog(t *testing.T) {
	r := newOrigin(t)
	d := prepare(t)
	log, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", d.conf, "--unsecure")
	cmd.Env = environ()
	cmd.Stderr = end
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }() // if it has not ended
	end.Close()
	line, err := bufio.NewReader(log).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	log.Close()
	_, rest, _ := strings.Cut(line, "listen=")
	d.url = "http://" + strings.Fields(rest)[0]
	for range 3 { // each is logged
		d.pulled("m", r.Dir)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestOneDaemonPerStorage(t *testing.T) {
	d := start(t)
	second := &daemon{t: t, storage: d.storage, conf: d.conf}
	second.launch()
	<-second.exited
	if code := second.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(lastLine(second.log.String()), "another sould is running on this storage") {
		t.Errorf("the second ended with status %d:\n%s", code, second.log)
	}
	d.get("/none").expect(t, 404)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func TestReasonsNotToStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	oldGit := t.TempDir()
	if err := os.WriteFile(filepath.Join(oldGit, "git"), []byte("#!/bin/sh\necho git version 2.30.2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		lines []string
		env   string
		want  string
	}{
		{[]string{"nonsense = 1"}, "", "sould.conf:4: nonsense: unknown key"},
		{[]string{"listen = \"" + taken.Addr().String() + "\""}, "", "address already in use"},
		{nil, "PATH=" + oldGit, "git is 2.30.2, but 2.31 or newer is needed"},
		{nil, "PATH=/nowhere", "executable file not found"},
		{nil, "STORAGE=" + file, "is a file"},
	} {
		d := prepare(t, c.lines...)
		if storage, ok := strings.CutPrefix(c.env, "STORAGE="); ok {
			d.storage = storage
			d.configure()
		}
		d.env = []string{c.env}
		d.launch()
		<-d.exited
		if code := d.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(lastLine(d.log.String()), c.want) {
			t.Errorf("want %q; status %d:\n%s", c.want, code, d.log)
		}
	}
}

func TestStorageOnALink(t *testing.T) {
	r := newOrigin(t)
	d := prepare(t)
	behind := filepath.Join(t.TempDir(), "behind")
	if err := os.Mkdir(behind, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(behind, d.storage); err != nil {
		t.Fatal(err)
	}
	d.run()
	d.pulled("a/b", r.Dir)
	d.stop()
	d.run()
	d.get("/a/b").expect(t, 200, "X-State", "success")
	if _, err := os.Stat(filepath.Join(behind, "a/b/HEAD")); err != nil {
		t.Error(err)
	}
	// A mirror that lies elsewhere.
	if err := os.Rename(filepath.Join(behind, "a/b"), filepath.Join(t.TempDir(), "b")); err != nil {
		t.Fatal(err)
	}
	d.get("/a/b").expect(t, 404)
}

// TestHalfARequest: who begins a request and does not go on does not hold a
// connection for ever.
func TestHalfARequest(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	var clients sync.WaitGroup
	for request, status := range map[string]string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Len":                                                "400",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nname":                             "400",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nname": "415",
		"GET /m HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n":                                 "200",
		"GET /none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n":                      "404",
		"PUT /m HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n":                                 "405",
		"HEAD /m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                 "200",
	} {
		clients.Go(func() {
			conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, request)
			if err := conn.SetReadDeadline(time.Now().Add(2 * patient)); err != nil {
				t.Error(err)
			}
			answer, err := io.ReadAll(conn) // to the end of the connection
			if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 "+status)) {
				t.Errorf("%q: %.100q, %v", request, answer, err)
			}
		})
	}
	clients.Wait()
}

// TestAClientThatSaysNoMore closes its half of the connection after the request, as
// nc -N does, and gets its answer all the same, not before there is one.
func TestAClientThatSaysNoMore(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	for body, want := range map[string]string{
		"name=n&origin=/nonexistent": "HTTP/1.1 500", "name=y&origin=" + r.Dir: "HTTP/1.1 200",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", formType, len(body), body)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), want) || want == "HTTP/1.1 200" && !strings.Contains(string(answer), "1 ref changed") {
			t.Errorf("%s: %q, %v", body, answer, err)
		}
		conn.Close()
	}
}

// TestUnits: systemd 252 and later take the units as they are, and call the service safe.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze on this machine")
	}
	dir := t.TempDir()
	units, err := filepath.Glob("../contrib/*.[st]*[ert]")
	if err != nil || len(units) != 4 {
		t.Fatal(units, err)
	}
	verify := []string{"verify", "--man=no"}
	for _, unit := range units {
		text := strings.NewReplacer("/usr/local/bin/sould ", binary+" ", "/usr/local/bin/sould-hook", "/bin/true").Replace(read(t, unit))
		path := filepath.Join(dir, strings.Replace(filepath.Base(unit), "@.", "@srv-git.", 1)) // an instance
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		verify = append(verify, path)
	}
	out, err := exec.Command("systemd-analyze", verify...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "sould") {
			t.Errorf("systemd-analyze: %s", line)
		}
	}
	if err != nil && strings.Contains(string(out), "sould") {
		t.Error(err)
	}
	if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", filepath.Join(dir, "sould.service")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAStopTellsWhoWaitsForAnArchive that the server ends, instead of breaking off.
func TestAStopTellsWhoWaitsForAnArchive(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := prepare(t)
	bin := t.TempDir()
	begun := filepath.Join(bin, "begun")
	script := "#!/bin/sh\nPATH=${PATH#*:}\ncase \" $* \" in *' archive '*) touch " + begun + "; sleep 60;; esac\nexec git \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	d.env = append(d.env, "PATH="+bin+":"+os.Getenv("PATH"))
	d.run()
	d.pulled("m", r.Dir)
	type told struct {
		answer
		err error
	}
	got := make(chan told, 1)
	go func() {
		a, err := d.try("GET", "/m", nil)
		got <- told{a, err}
	}()
	eventually(t, "git makes the archive", func() bool { return exists(begun) })
	d.signal(syscall.SIGTERM)
	d.wait("INFO stopping")
	d.signal(syscall.SIGTERM) // do not wait for it
	switch a := <-got; {
	case a.err != nil:
		t.Error(a.err)
	case a.StatusCode != 503 || !strings.Contains(a.text(), "shutting down"):
		t.Errorf("%s: %s", a.Status, a.text())
	}
	<-d.exited
}
