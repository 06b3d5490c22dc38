package origin

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// HTTP serves all repositories below a directory over git's smart HTTP, through
// git http-backend.
type HTTP struct {
	URL     string       // of the directory, without a slash at the end
	Lists   atomic.Int64 // how often refs were asked for
	Fetches atomic.Int64 // how many requests for objects there were
	server  *httptest.Server
	before  atomic.Pointer[func(*http.Request)]
	odd     atomic.Pointer[Odd]
	login   atomic.Pointer[[2]string]
}

// ServeHTTP starts such a server.
func ServeHTTP(t T, root string) *HTTP {
	t.Helper()
	h := &HTTP{}
	h.server = httptest.NewServer(h.handler(t, root))
	h.URL = h.server.URL
	t.Cleanup(h.Close)
	return h
}

// ServeHTTPOn starts one that listens there.
func ServeHTTPOn(t T, root string, l net.Listener) *HTTP {
	t.Helper()
	h := &HTTP{}
	h.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: h.handler(t, root)}}
	h.server.Start()
	h.URL = h.server.URL
	t.Cleanup(h.Close)
	return h
}

// ServeHTTPS starts one with a certificate, whose file it returns.
func ServeHTTPS(t T, root string) (h *HTTP, caFile string) {
	t.Helper()
	h = &HTTP{}
	h.server = httptest.NewUnstartedServer(h.handler(t, root))
	h.server.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	h.server.StartTLS()
	h.URL = h.server.URL
	t.Cleanup(h.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw}
	if err := os.WriteFile(caFile, pem.EncodeToMemory(block), 0o644); err != nil {
		t.Fatalf("%v", err)
	}
	return h, caFile
}

// Before sets what is done at the beginning of each request.
func (h *HTTP) Before(f func(*http.Request)) { h.before.Store(&f) }

// Require lets only clients in that have this user name and password.
func (h *HTTP) Require(user, password string) { h.login.Store(&[2]string{user, password}) }

// HangUp closes all connections.
func (h *HTTP) HangUp() { h.server.CloseClientConnections() }

// Close takes the server away.
func (h *HTTP) Close() {
	h.server.CloseClientConnections()
	h.server.Close()
}

func (h *HTTP) handler(t T, root string) http.Handler {
	backend := &cgi.Handler{
		Path: execPath(t, "git-http-backend"),
		Env: append(environ(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1",
			// Whoever may connect may push: it is a test.
			"GIT_CONFIG_COUNT=2",
			"GIT_CONFIG_KEY_0=http.receivepack", "GIT_CONFIG_VALUE_0=true",
			"GIT_CONFIG_KEY_1=safe.directory", "GIT_CONFIG_VALUE_1=*"),
		Stderr: io.Discard,
		Logger: log.New(io.Discard, "", 0), // that a client has gone is what some tests want
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := h.before.Load(); f != nil {
			(*f)(r)
		}
		if login := h.login.Load(); login != nil {
			if user, password, _ := r.BasicAuth(); user != login[0] || password != login[1] {
				w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/info/refs"):
			if r.Header.Get("Git-Protocol") != "version=2" {
				h.Lists.Add(1) // in version 2 this shows capabilities alone
			}
		case strings.HasSuffix(r.URL.Path, "/git-upload-pack"):
			h.Fetches.Add(1)
		}
		if odd := h.odd.Load(); odd != nil {
			(*odd)(w, r, backend)
			return
		}
		backend.ServeHTTP(w, r)
	})
}

// ServeGit serves all repositories below a directory by git daemon and returns
// the URL of the directory.
func ServeGit(t T, root string) string {
	t.Helper()
	port := FreePort(t)
	start(t, exec.Command("git", "daemon", "--listen=127.0.0.1", "--port="+port, "--base-path="+root,
		"--export-all", "--reuseaddr", "--informative-errors", root))
	waitForPort(t, port)
	return "git://127.0.0.1:" + port
}

// SSH is a throwaway sshd that takes one key.
type SSH struct {
	URL     string // of the file system's root, without a slash at the end
	Command string // what GIT_SSH_COMMAND must be for a client to get in
}

// ServeSSH starts an sshd for the user that runs the test. It returns nil if there
// is none on this machine.
func ServeSSH(t T) *SSH {
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		if sshd, err = exec.LookPath("/usr/sbin/sshd"); err != nil {
			return nil
		}
	}
	if os.Getuid() == 0 { // sshd wants it then
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatalf("%v", err)
		}
	}
	dir, port := t.TempDir(), FreePort(t)
	for _, key := range []string{"host", "client"} {
		run(t, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key))
	}
	config := fmt.Sprintf(`ListenAddress 127.0.0.1:%s
HostKey %s/host
AuthorizedKeysFile %s/client.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
AcceptEnv GIT_PROTOCOL
`, port, dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(config), 0o644); err != nil {
		t.Fatalf("%v", err)
	}
	start(t, exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "sshd_config")))
	waitForPort(t, port)
	public, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	known := "[127.0.0.1]:" + port + " " + string(public)
	if err := os.WriteFile(filepath.Join(dir, "known_hosts"), []byte(known), 0o644); err != nil {
		t.Fatalf("%v", err)
	}
	user := run(t, nil, "id", "-un")
	return &SSH{
		URL: "ssh://" + user + "@127.0.0.1:" + port,
		Command: fmt.Sprintf("ssh -F /dev/null -i %s/client -oIdentitiesOnly=yes -oUserKnownHostsFile=%s/known_hosts"+
			" -oStrictHostKeyChecking=yes -oBatchMode=yes -oConnectTimeout=10", dir, dir),
	}
}

// start runs a server process until the test is over, and ends it with all its
// children.
func start(t T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Env = environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
}

// FreePort is a port of loopback that nobody has. Nor is anybody given it who wants any port,
// as most servers in tests do: it lies below those from which the kernel chooses, if there are
// any. So a server can be down for a while and come back to it.
func FreePort(t T) string {
	t.Helper()
	const lowest, perProcess = 10_000, 64
	ours := firstAnyPort() - lowest
	for range max(ours, 0) {
		port := lowest + (os.Getpid()*perProcess+int(ports.Add(1)))%ours
		if isFree(port) {
			return strconv.Itoa(port)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err == nil {
		l.Close()
	}
	return err == nil
}

var ports atomic.Int64 // that were looked at

// firstAnyPort is the lowest port that the kernel gives to who wants any (ip(7)).
func firstAnyPort() int {
	first := 32_768
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(text), &first)
	}
	return first
}

func waitForPort(t T, port string) {
	t.Helper()
	waitFor(t, "a server on port "+port, func() bool {
		c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
