package tests

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// raw sends a request as it is and returns all that the daemon answers.
func (d *daemon) raw(text string) string {
	d.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patient))
	if _, err := io.WriteString(conn, text); err != nil {
		d.t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(got)
}

// request is the text of a request with these header lines and this body.
func request(method, target, header, body string) string {
	if !strings.Contains(header, "Host:") {
		header = "Host: h\r\n" + header
	}
	return fmt.Sprintf("%s %s HTTP/1.1\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", method, target, header, len(body), body)
}

// deafManager is a service manager that takes in nothing until it is told to, so that a
// reload goes on for as long as a test needs.
func deafManager(t *testing.T, d *daemon) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	d.env = append(d.env, "NOTIFY_SOCKET="+path)
	return manager
}

// fillQueue fills the queue of a manager, so that who tells it anything has to wait.
func fillQueue(t *testing.T, manager *net.UnixConn) {
	t.Helper()
	address := &syscall.SockaddrUnix{Name: manager.LocalAddr().String()}
	for told := true; told; { // the queue of one sender may be full before
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		for told = false; ; told = true {
			err := syscall.Sendto(fd, []byte("x"), 0, address)
			if errors.Is(err, syscall.EAGAIN) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// pendingSignals are those that a process has been sent and that no thread of it has taken.
func pendingSignals(t *testing.T, pid int) (set uint64) {
	t.Helper()
	for _, line := range regexp.MustCompile(`(?m)^(?:Sig|Shd)Pnd:\t(\w+)$`).FindAllStringSubmatch(read(t, fmt.Sprintf("/proc/%d/status", pid)), -1) {
		n, err := strconv.ParseUint(line[1], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		set |= n
	}
	return set
}

// drain takes in what a daemon says to its manager until the test is over.
func drain(manager *net.UnixConn) {
	buf := make([]byte, 1<<10)
	for {
		if _, err := manager.Read(buf); err != nil {
			return
		}
	}
}

// reloads is how often the daemon has reloaded its configuration.
func (d *daemon) reloads() int { return strings.Count(d.log.String(), "INFO reloaded") }

// TestFieldTermInAStormOfHups: no number of HUPs takes the place of a TERM, and a TERM that
// comes during a reload is answered next.
func TestFieldTermInAStormOfHups(t *testing.T) {
	d := prepare(t)
	manager := deafManager(t, d)
	d.run()
	blocked := func() bool {
		before := d.reloads()
		d.signal(syscall.SIGHUP)
		return !within(time.Second, func() bool { return d.reloads() > before })
	}
	fillQueue(t, manager)
	for !blocked() { // a reload had begun before
	}
	before := d.reloads()
	for range 30 {
		d.signal(syscall.SIGHUP)
		time.Sleep(2 * time.Millisecond) // equal signals that nobody has taken in yet are one
	}
	d.signal(syscall.SIGTERM)
	eventually(t, "the kernel has delivered it", func() bool { return pendingSignals(t, d.cmd.Process.Pid) == 0 })
	time.Sleep(50 * time.Millisecond) // the daemon's runtime takes it in
	go drain(manager)
	select {
	case <-d.exited:
	case <-time.After(patient):
		t.Fatal("the TERM is lost")
	}
	if after := d.reloads(); after > before+1 {
		t.Errorf("reloaded %d times after the TERM", after-before)
	}
}

// TestFieldSecretsAreNotRepeated: what a client sends in the wrong place is neither in the log
// nor in an answer, whatever part of a URL it is.
func TestFieldSecretsAreNotRepeated(t *testing.T) {
	const login = fieldUser + ":" + fieldPassword
	const formHeader = "Content-Type: " + formType + "\r\n"
	deep := strings.Repeat("long/", 60)
	for what, text := range map[string]string{
		"a URL as path":                  request("POST", "/https://"+login+"@host/x.git", "", "a"),
		"with one slash":                 request("POST", "/https:/"+login+"@host/x.git", "", "a"),
		"without a scheme":               request("POST", "/"+login+"@host/x.git", "", "a"),
		"escaped":                        request("POST", "/https%3A%2F%2F"+fieldUser+"%3A"+fieldPassword+"%40host%2Fx.git", "", "a"),
		"escaped twice":                  request("POST", "/https%253A%252F%252F"+fieldUser+"%253A"+fieldPassword+"%2540host", "", "a"),
		"with a space and quotes":        request("POST", "/https://"+fieldUser+":a%20b%22c'd"+fieldPassword+"@host/x.git", "", "a"),
		"cut off before the @":           request("POST", "/"+strings.Repeat("a", 170)+"/https://"+login+strings.Repeat("b", 50)+"@host/x.git", "", "a"),
		"a token alone, cut off":         request("POST", "/"+strings.Repeat("a", 170)+"/https://"+fieldUser+strings.Repeat("b", 50)+"@host/x.git", "", "a"),
		"PUT":                            request("PUT", "/https://"+login+"@host/x.git", "", ""),
		"DELETE":                         request("DELETE", "/https://"+login+"@host/x.git", "", ""),
		"DELETE, escaped twice":          request("DELETE", "/https%253A%252F%252F"+fieldUser+"%253A"+fieldPassword+"%2540host", "", ""),
		"a push":                         request("POST", "/https://"+login+"@host/x.git/git-receive-pack", "", "a"),
		"a clone":                        request("POST", "/https://"+login+"@host/x.git/git-upload-pack", "Content-Type: x\r\n", "a"),
		"GET":                            request("GET", "/https://"+login+"@host/x.git", "", ""),
		"below /x":                       request("GET", "/x/https://"+login+"@host/"+deep, "", ""),
		"below /x, as a POST":            request("POST", "/x/https://"+login+"@host/"+deep, "", "a"),
		"in x/status":                    request("GET", "/x/status?name=https%3A%2F%2F"+login+"@host", "", ""),
		"in x/status, twice escaped":     request("GET", "/x/status?name=https%253A%252F%252F"+fieldUser+"%253A"+fieldPassword+"%2540host", "", ""),
		"as its format":                  request("GET", "/x/status?format=https://"+fieldUser+strings.Repeat("b", 50)+"@host", "", ""),
		"as an unknown parameter":        request("GET", "/m?https://"+fieldUser+strings.Repeat("b", 50)+"@host=1", "", ""),
		"as ref":                         request("GET", "/m?ref=https://"+login+strings.Repeat("b", 80)+"@host", "", ""),
		"as Content-Type":                request("POST", "/", "Content-Type: https://"+login+"@host\r\n", "a"),
		"as a long Content-Type":         request("POST", "/", "Content-Type: https://"+fieldUser+strings.Repeat("b", 90)+"@host\r\n", "a"),
		"as Content-Type of a clone":     request("POST", "/m/git-upload-pack", "Content-Type: https://"+fieldUser+strings.Repeat("b", 90)+"@host\r\n", "a"),
		"as Content-Encoding of a clone": request("POST", "/m/git-upload-pack", "Content-Type: application/x-git-upload-pack-request\r\nContent-Encoding: https://"+fieldUser+"bbbbbbbbbbbbbbbb@host\r\n", "a"),
		"as Host":                        request("POST", "/", "Host: "+login+strings.Repeat("b", 80)+"@host\r\n", "a"),
		"as a method":                    request("https%3A%2F%2F"+fieldUser+"%3A"+fieldPassword+"%40host", "/", "", ""),
		"as name":                        request("POST", "/", formHeader, "name=https://"+login+"@host&origin=/x"),
		"as name, twice escaped":         request("POST", "/", formHeader, "name=https%253A%252F%252F"+fieldUser+"%253A"+fieldPassword+"%2540host&origin=/x"),
		"as wait":                        request("POST", "/", formHeader, "name=m&origin=/x&wait=https://"+fieldUser+"bbbbbbbbbbbbbbbb@host"),
		"as accept":                      request("POST", "/", formHeader, "name=m&origin=/x&accept=https://"+fieldUser+"bbbbbbbbbbbbbbbb@host"),
		"as an origin's scheme":          request("POST", "/", formHeader, "name=m&origin="+login+"@host://x/y"),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := start(t, `allow_hosts = ["h"]`)
			got := d.raw(text)
			if status := mustAtoi(t, strings.Fields(got)[1]); status < 400 || status >= 500 {
				t.Errorf("%s", got)
			}
			d.stop() // the log is complete then
			tellsNothing(t, []string{fieldUser, fieldPassword}, got, d.log.String())
		})
	}
}

// TestFieldMistakesOfGitClients: what is wrong with a request is told to its client, and is no
// error of the server.
func TestFieldMistakesOfGitClients(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	for _, c := range []struct{ version, option, says string }{
		{"0", "--shallow-since=2199-01-01", "HTTP 400"},
		{"2", "--shallow-since=2199-01-01", "remote error: no commits selected for shallow requests"},
		{"0", "--shallow-exclude=main", "HTTP 400"},
		{"2", "--shallow-exclude=main", "remote error: no commits selected for shallow requests"},
		{"0", "--shallow-exclude=none", "HTTP 400"},
		{"2", "--shallow-exclude=none", "HTTP 400"},
		{"0", "--filter=sparse:oid=main", "remote error: filter 'sparse:oid' not supported"},
		{"2", "--filter=sparse:oid=main", "remote error: filter 'sparse:oid' not supported"},
	} {
		out, err := gitClient(c.version, "clone", "--quiet", "--bare", c.option, d.url+"/m", filepath.Join(t.TempDir(), "c"))
		if err == nil || !strings.Contains(out, c.says) {
			t.Errorf("protocol %s, %s: %v\n%s", c.version, c.option, err, out)
		}
	}
	id := r.Git("rev-parse", "main")
	fetch := func(capabilities string, arguments ...string) string {
		text := line("command=fetch\n") + capabilities + "0001" + line("want "+id+"\n")
		for _, a := range arguments {
			text += line(a + "\n")
		}
		return text + line("done") + "0000"
	}
	for what, c := range map[string]struct{ version, body, says string }{
		"two depths":              {"2", fetch("", "deepen 1", "deepen-since 5"), "ERR git upload-pack: deepen and deepen-since"},
		"no id to have":           {"2", fetch("", "have x"), "expected SHA1 object"},
		"no id to have, before":   {"0", line("want "+id) + "0000" + line("have x") + line("done"), "expected SHA1 object"},
		"no list":                 {"0", line("want "+id) + "0000" + line("zzz"), "expected SHA1 list"},
		"a format without a name": {"2", fetch(line("object-format")), "requires an argument"},
		"another format":          {"2", fetch(line("object-format=sha256")), "mismatched object format"},
		"an unknown format":       {"2", fetch(line("object-format=zzz")), "unknown object format"},
		"a depth below zero":      {"2", fetch("", "deepen -1"), ""},
		"no depth":                {"0", line("want "+id) + line("deepen x") + "0000" + line("done"), "nvalid deepen"},
		"a filter that is none":   {"2", fetch("", "filter blob:limit=x"), "invalid filter-spec"},
		"an id that is none":      {"2", fetch("", "want x"), "expected to get oid"},
		"an id that nobody has":   {"2", fetch("", "want "+strings.Repeat("1", 40)), "not our ref"},
		"no ref to leave out":     {"2", fetch("", "deepen-not x"), "ambiguous deepen-not"},
	} {
		a := d.do("POST", "/m/git-upload-pack", strings.NewReader(c.body), "Content-Type", cloneRequest,
			"Git-Protocol", "version="+c.version)
		if a.StatusCode != 200 && a.StatusCode != 400 || a.err != nil || !strings.Contains(a.text(), c.says) {
			t.Errorf("%s: %s, %v\n%.300q", what, a.Status, a.err, a.text())
		}
	}
	d.stop() // the log is complete then
	if strings.Contains(d.log.String(), "ERROR") {
		t.Errorf("%s", d.log)
	}
}

// TestFieldHints: where an origin does not let sould in, the answer says in its own words what
// is wrong and what to do, with git's words as the reason.
func TestFieldHints(t *testing.T) {
	const login = fieldUser + ":" + fieldPassword
	atWeb := func(url func(f *field) string) func(*testing.T) (string, []string) {
		return func(t *testing.T) (string, []string) {
			f := newField(t)
			f.Require(fieldUser, fieldPassword)
			return url(f), nil
		}
	}
	atSSH := func(from, to string) func(*testing.T) (string, []string) {
		return func(t *testing.T) (string, []string) {
			server := origin.ServeSSH(t)
			if server == nil {
				t.Skip("no sshd")
			}
			return server.URL + newOrigin(t).Dir, []string{fmt.Sprintf("ssh_command = %q", strings.Replace(server.Command, from, to, 1))}
		}
	}
	for what, c := range map[string]struct {
		origin func(*testing.T) (url string, lines []string)
		says   []string
	}{
		"a wrong password": {
			atWeb(func(f *field) string { return f.as(fieldUser+":wr0ng-p4ss", "/r.git") }),
			[]string{"refuses the user and the password", "POST again with the right user:password", "terminal prompts disabled"},
		},
		"no password": {
			atWeb(func(f *field) string { return f.URL + "/r.git" }),
			[]string{"wants a user and a password", "POST again with user:password", "~/.netrc", "terminal prompts disabled"},
		},
		"no such repository": {
			atWeb(func(f *field) string { return f.as(login, "/none.git") }),
			[]string{"there is no repository at http://127.0.0.1", "none.git/' not found"},
		},
		"a certificate that nobody knows": {
			func(t *testing.T) (string, []string) {
				r := newOrigin(t)
				server, _ := origin.ServeHTTPS(t, filepath.Dir(r.Dir))
				return server.URL + "/origin.git", nil
			},
			[]string{"ca_file", "certificate"},
		},
		"a key that the server does not take": {
			atSSH("/client -o", "/none -o"),
			[]string{"takes none of the keys", "ssh_command", "Permission denied (publickey"},
		},
		"a host key that is not known": {
			atSSH("/known_hosts", "/none"),
			[]string{"add it to known_hosts", "Host key verification failed"},
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			url, lines := c.origin(t)
			d := start(t, lines...)
			got := d.post("m", url).expect(t, 500).contains(t, append(c.says, "can't list refs\n", "fatal: ")...)
			d.stop()
			for _, says := range c.says {
				if !strings.Contains(d.log.String(), says) {
					t.Errorf("%q is not in the log", says)
				}
			}
			tellsNothing(t, []string{fieldPassword, "wr0ng-p4ss"}, got.text(), d.log.String())
		})
	}
}
