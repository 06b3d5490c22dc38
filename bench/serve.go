package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// The alternatives that are servers run as processes of their own, as sould does:
// this program itself, called with one of these words.
var servers = map[string]func(arg string) http.HandlerFunc{
	// A plain Go handler that sends a file.
	"serve-file": func(path string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			f, err := os.Open(path)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			defer f.Close()
			w.Header().Set("Content-Type", "application/x-tar")
			http.ServeContent(w, r, "", time.Time{}, f)
		}
	},
	// git http-backend for all repositories below a directory.
	"serve-cgi": func(root string) http.HandlerFunc {
		path, err := exec.Command("git", "--exec-path").Output()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return (&cgi.Handler{
			Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
			Env: append(origin.Command().Env, "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1",
				"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"),
			Stderr: io.Discard,
		}).ServeHTTP
	},
	// A bare Go handler that answers 304.
	"serve-304": func(string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }
	},
	// One git archive per request: what sould was before.
	"serve-git": func(dir string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			cmd := exec.Command("git", "--git-dir="+dir, "archive", "--format=tar", "HEAD")
			cmd.Stdout = w
			w.Header().Set("Content-Type", "application/x-tar")
			if err := cmd.Run(); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	},
}

// serve runs one of the servers on a free port, which it prints.
func serve(handler http.Handler) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(l.Addr())
	err = http.Serve(l, handler)
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// alternative starts one of the servers and returns its address.
func (b *bench) alternative(word, arg string) string {
	self, err := os.Executable()
	b.check(err)
	cmd := exec.Command(self, word, arg)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	b.check(err)
	b.check(cmd.Start())
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	b.check(err)
	return strings.TrimSpace(line)
}

// nginx serves a directory by nginx, tuned as for a mirror of files, and returns its
// address. Without nginx it returns that of a plain Go handler for the file.
func (b *bench) nginx(file string) (addr, name string) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if nginx, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			return b.alternative("serve-file", file), "a plain Go http.ServeContent (no nginx here)"
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.check(err)
	addr = l.Addr().String()
	b.check(l.Close())
	dir := b.TempDir()
	b.check(os.Chmod(b.dir, 0o755)) // its workers are another user
	b.check(os.Chmod(dir, 0o755))
	b.check(os.Chmod(filepath.Dir(file), 0o755))
	conf := fmt.Sprintf(`daemon off; worker_processes auto; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 4096; }
http {
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000;
  open_file_cache max=100;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server { listen %[2]s; root %[3]s; }
}
`, dir, addr, filepath.Dir(file))
	b.check(os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644))
	cmd := exec.Command(nginx, "-c", filepath.Join(dir, "conf"), "-e", filepath.Join(dir, "error.log"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	b.check(cmd.Start())
	b.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); _ = cmd.Wait() })
	for range 1000 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr, "nginx"
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.Fatalf("nginx does not start: see %s", dir)
	return "", ""
}

// gitPipe runs a shell pipeline that begins with git archive and returns how much it
// prints.
func (b *bench) gitPipe(dir, rest string) int64 {
	cmd := exec.Command("sh", "-c", "git --git-dir="+dir+" archive --format=tar main"+rest)
	cmd.Env = origin.Command().Env
	return b.read(cmd)
}
