package tests

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// hostileSecrets must not appear anywhere.
var hostileSecrets = []string{"s3cr3t-p4ss", "t0ken-us3r", token, readToken, stranger}

// hostile is a daemon in the middle of things that it must not touch.
type hostile struct {
	t     *testing.T
	d     *daemon
	outer string // all that is the test's; the storage is outer/in/storage
	local string // a good origin, by path
	refs  string
	auth  []string // what a good request brings: pairs of header names and values
}

// hostileCase is one hostile request, or a small group of them.
type hostileCase struct {
	what string
	want int // status; 0 for a connection that is closed without an answer
	do   func() (status int, output string)
}

// TestHostile sends what nobody means well with. After each: the expected status; the
// refs of all mirrors are what they were and are served; nothing outside the storage has
// changed, and in it only what the request was for; no process is left; no secret stands in
// an answer, in the log or in the list of processes.
func TestHostile(t *testing.T) {
	t.Parallel()
	h := newHostile(t, newOrigin(t), nil)
	t.Run("requests", func(t *testing.T) { h.run(t, h.requests()) })
	t.Run("raw", func(t *testing.T) { h.run(t, h.raw()) })
	t.Run("origins", func(t *testing.T) { h.run(t, h.origins(t)) })
	t.Run("repositories", func(t *testing.T) { h.run(t, h.repositories(t)) })
	t.Run("storage", func(t *testing.T) { h.run(t, h.links(t)) })
}

// newHostile starts it with more lines of configuration, and what a good request brings
// then.
func newHostile(t *testing.T, r *origin.Repo, auth []string, lines ...string) *hostile {
	h := &hostile{t: t, outer: t.TempDir(), local: r.Dir, auth: auth}
	h.d = prepare(t)
	h.d.storage = filepath.Join(h.outer, "in", "storage")
	for _, name := range []string{"canary", "in/canary", "in/storage.git/HEAD", "in/secret/file"} {
		path := filepath.Join(h.outer, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("outside"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.d.configure(append(lines, `list_timeout = "5s"`, `fetch_timeout = "1m"`, `patience = "1s"`, `retry = "1h"`, `archive_timeout = "4s"`, `archive_limit = "64MiB"`)...)
	h.d.run()
	h.pulled("good/m", r)
	h.refs = refs(t, h.d.mirror("good/m"))
	return h
}

func (h *hostile) pulled(name string, r *origin.Repo) {
	h.t.Helper()
	h.d.do("POST", "/", form(name, r.Dir), append([]string{"Content-Type", formType}, h.auth...)...).expect(h.t, 200)
}

// outside is everything around the storage, with sizes and times.
func (h *hostile) outside(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(h.outer, func(path string, entry fs.DirEntry, err error) error {
		if path == h.d.storage {
			return fs.SkipDir
		}
		if info, err := entry.Info(); err == nil && !entry.IsDir() {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano(), info.Mode())
		} else {
			fmt.Fprintln(&b, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// names are the directories at the top of the storage: nothing may come there but the
// mirrors that the test asks for.
func (h *hostile) names(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(h.d.storage)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// mirrors are the files with the refs of all mirrors.
func (h *hostile) mirrors(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(h.d.storage, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err == nil && (entry.Name() == ".sould" || entry.Name() == "objects"):
			return fs.SkipDir
		case err == nil && (entry.Name() == "packed-refs" || entry.Name() == "HEAD"):
			files[path] = read(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func (h *hostile) run(t *testing.T, cases []hostileCase) {
	outside, names, mirrors := h.outside(t), h.names(t), h.mirrors(t)
	watch := h.watchProcesses()
	for _, c := range cases {
		began := time.Now()
		status, output := c.do()
		if status != c.want {
			t.Errorf("%s: status %d, want %d\n%.1000s", c.what, status, c.want, output)
		}
		if took := time.Since(began); took > shortOrLong(15*time.Second, time.Minute) {
			t.Errorf("%s took %s", c.what, took)
		}
		h.silent(t, c.what, output)
		if now := h.outside(t); now != outside {
			t.Errorf("%s: around the storage there was\n%snow there is\n%s", c.what, outside, now)
			outside = now
		}
		if now := h.names(t); now != names && !strings.HasPrefix(c.what, "+") {
			t.Errorf("%s: in the storage there was %s, now there is %s", c.what, names, now)
		}
		names = h.names(t)
		if now := refs(t, h.d.mirror("good/m")); now != h.refs {
			t.Errorf("%s: the refs of another mirror are\n%s", c.what, now)
		}
		were := mirrors
		mirrors = h.mirrors(t)
		for path, now := range mirrors {
			if was, known := were[path]; known && now != was || !known && c.want != 200 {
				t.Errorf("%s: %s was\n%.1000s\nnow it is\n%.1000s", c.what, path, was, now)
			}
		}
		if len(mirrors) < len(were) {
			t.Errorf("%s: of %d files with refs there are %d", c.what, len(were), len(mirrors))
		}
		if a := h.d.get("/good/m", h.auth...); a.StatusCode != 200 || a.files(t)["file"] != "1" {
			t.Errorf("%s: the next GET: %s", c.what, a.Status)
		}
		if !within(2*time.Second, func() bool { return len(h.children()) == 0 }) {
			t.Errorf("%s: processes are left: %v", c.what, h.children())
		}
		if t.Failed() {
			return
		}
	}
	if !within(2*time.Second, func() bool { return len(h.d.holders()) == 0 }) {
		t.Errorf("processes are left: %v", h.d.holders())
	}
	h.silent(t, "the log", h.d.log.String())
	processes := watch()
	h.silent(t, "the list of processes", processes)
	if strings.HasSuffix(t.Name(), "/origins") && !strings.Contains(processes, "ls-remote") {
		t.Errorf("no git was seen among the processes:\n%s", processes)
	}
	h.d.clean()
}

func (h *hostile) silent(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range hostileSecrets {
		for _, form := range []string{secret, url.QueryEscape(secret)} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows a secret:\n%.2000s", what, text)
				return
			}
		}
	}
}

// watchProcesses collects the arguments of all children of the daemon until it is told
// to end.
func (h *hostile) watchProcesses() (end func() string) {
	seen := make(map[string]bool)
	note := func(pid string) {
		line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		seen[string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))] = true
	}
	over := make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			// Not all processes: only the groups that the daemon has started.
			for _, pid := range h.children() {
				note(pid)
				grand, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
				for pid := range strings.FieldsSeq(string(grand)) {
					note(pid)
				}
			}
		}
	})
	return func() string {
		close(over)
		wg.Wait()
		return strings.Join(slices.Sorted(maps.Keys(seen)), "\n")
	}
}

// children are the processes that the daemon has started itself and that are alive.
func (h *hostile) children() (pids []string) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", h.d.cmd.Process.Pid))
	for _, path := range lists {
		text, _ := os.ReadFile(path)
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

func shown(a answer) (int, string) {
	var b strings.Builder
	_ = a.Header.Write(&b)
	if a.Header.Get("Content-Type") != "application/x-tar" {
		b.WriteString(a.text())
	}
	return a.StatusCode, b.String()
}

// posting is a POST with these fields, as they are.
func (h *hostile) posting(what string, want int, body string, headers ...string) hostileCase {
	return hostileCase{what, want, func() (int, string) {
		return shown(h.d.do("POST", "/", strings.NewReader(body), append([]string{"Content-Type", formType}, headers...)...))
	}}
}

func (h *hostile) getting(what string, want int, path string, headers ...string) hostileCase {
	return hostileCase{what, want, func() (int, string) { return shown(h.d.get(path, headers...)) }}
}

func fields(name, origin string) string {
	return url.Values{"name": {name}, "origin": {origin}}.Encode()
}

// requests are words that lead elsewhere, or try to be options.
func (h *hostile) requests() []hostileCase {
	ranges := "bytes=" + strings.TrimSuffix(strings.Repeat("0-0,", 2000), ",")
	overlapping := "bytes=" + strings.TrimSuffix(strings.Repeat("0-,", 500), ",")
	return []hostileCase{
		h.getting("traversal by %2e", 400, "/%2e%2e/%2e%2e/etc/passwd"),
		h.getting("traversal by %2f", 400, "/good%2f..%2f..%2fin%2fsecret"),
		h.getting("an encoded slash is a slash", 200, "/good%2fm"),
		h.getting("a doubly encoded dot", 400, "/%252e%252e/secret"),
		h.getting("NUL", 400, "/good/m%00.tar"),
		h.getting("a backslash", 400, "/good%5c..%5cm"),
		h.getting("the server's own", 400, "/.sould/id"),
		h.getting("what lies in a mirror", 404, "/good/m/objects/pack"),
		h.getting("the state file", 404, "/good/m/sould.json"),
		h.getting("ref as an option", 400, "/good/m?ref=--output=%2ftmp%2fx"),
		h.getting("ref as an expression", 400, "/good/m?ref=main^{/x}"),
		h.getting("ref with a path", 400, "/good/m?ref=main:file"),
		h.getting("path out of the tree", 400, "/good/m?path=../../secret"),
		h.getting("path as a pattern", 404, "/good/m?path=*"),
		h.getting("path with magic", 404, "/good/m?path=:(top)file"),
		h.getting("prefix out of the archive", 400, "/good/m?prefix=../../x"),
		h.getting("an absolute prefix", 400, "/good/m?prefix=/etc"),
		h.getting("prefix with a line end", 400, "/good/m?prefix=a%0ab"),
		h.getting("a parameter twice", 400, "/good/m?ref=main&ref=-x"),
		h.getting("contains with no id", 400, "/good/m?contains=HEAD"),
		h.getting("2,000 ranges", 206, "/good/m", "Range", ranges),
		h.getting("500 ranges over each other", 200, "/good/m", "Range", overlapping),
		h.getting("a range that is none", 416, "/good/m", "Range", "bytes=9-1,x"),
		h.getting("an absurd If-None-Match", 200, "/good/m", "If-None-Match", strings.Repeat(`"x",`, 3000)),
		h.posting("a nested mirror", 409, fields("good/m/n", h.local)),
		h.posting("a mirror in a mirror's refs", 409, fields("good/m/refs", h.local)),
		h.posting("a mirror above one", 409, fields("good", h.local)),
		h.posting("a name out of the storage", 400, fields("../secret", h.local)),
		h.posting("an absolute name", 400, fields("/../../canary", h.local)),
		h.posting("the server's own as a name", 400, fields(".sould/cache", h.local)),
		h.posting("a URL as the name", 400, fields("https://t0ken-us3r:s3cr3t-p4ss@h/x", h.local)),
		h.posting("ext::", 400, fields("m", "ext::sh -c touch% "+h.outer+"/in/pwned")),
		h.posting("fd::", 400, fields("m", "fd::17/x")),
		h.posting("file:// of another host", 400, fields("m", "file://h/etc")),
		h.posting("an option as the origin", 400, fields("m", "--upload-pack=touch "+h.outer+"/in/pwned")),
		h.posting("an option as the host", 400, fields("m", "ssh://-oProxyCommand=touch$IFS"+h.outer+"/in/pwned/x")),
		h.posting("an option as the path", 400, fields("m", "git@h:--upload-pack=x")),
		h.posting("an option as move", 400, fields("good/m", h.local)+"&move=--exec=x"),
		h.posting("another origin", 409, fields("good/m", "http://127.0.0.1:9/x")),
		h.posting("fields twice", 400, fields("m", h.local)+"&name=n"),
		h.posting("fields in JSON", 415, `{"name":"m"}`, "Content-Type", "application/json"),
		h.posting("64 KiB and one byte", 413, fields("m", h.local)+"&x="+strings.Repeat("x", 64<<10)),
		h.posting("many fields", 400, strings.Repeat("a&", 20_000)),
		h.posting("another site (Sec-Fetch-Site)", 403, fields("m", h.local), "Sec-Fetch-Site", "cross-site"),
		h.posting("another site (Origin)", 403, fields("m", h.local), "Origin", "https://evil.example"),
		h.posting("the origin null", 403, fields("m", h.local), "Origin", "null"),
		h.posting("came through too many", 400, fields("m", h.local), "Sould-Via", strings.Repeat("x,", 100)),
		h.posting("terminal escapes", 400, fields("m\x1b[2J", h.local)),
	}
}

// raw are requests that no HTTP library would send.
func (h *hostile) raw() []hostileCase {
	good := fields("good/m", h.local)
	raw := func(what string, want int, text string) hostileCase {
		return hostileCase{what, want, func() (int, string) { return h.talk(text) }}
	}
	post := func(framing, body string) string {
		return "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: " + formType + "\r\nConnection: close\r\n" + framing + "\r\n\r\n" + body
	}
	return []hostileCase{
		raw("garbage", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
		raw("pipelined garbage", 200, "GET /good/m HTTP/1.1\r\nHost: x\r\n\r\n\x00\xff\x00\xffGET / HT"),
		raw("a pipelined second request", 200, "GET /good/m HTTP/1.1\r\nHost: x\r\n\r\nGET /good/m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
		raw("no Host", 400, "GET /good/m HTTP/1.1\r\n\r\n"),
		raw("two Hosts", 400, "GET /good/m HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
		raw("a Host that is none", 400, "GET /good/m HTTP/1.1\r\nHost: a b/../\\\r\n\r\n"),
		raw("a header of 1 MB", 431, "GET /good/m HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n"),
		raw("a URL of 1 MB", 431, "GET /"+strings.Repeat("x/", 1<<19)+" HTTP/1.1\r\nHost: x\r\n\r\n"),
		raw("10,000 headers", 431, "GET /good/m HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X: yyyyyyyyyyyy\r\n", 10_000)+"\r\n"),
		raw("a header folded", 400, "GET /good/m HTTP/1.1\r\nHost: x\r\n bad\r\n: x\r\n\r\n"),
		raw("a path without a slash", 400, "GET good/m HTTP/1.1\r\nHost: x\r\n\r\n"),
		raw("a proxy's request", 200, "GET http://evil.example/good/m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
		raw("CONNECT", 405, "CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
		raw("OPTIONS *", 405, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
		raw("HTTP/2 at once", 405, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		raw("HTTP/1.0", 200, "GET /good/m HTTP/1.0\r\n\r\n"),
		raw("HTTP/9", 505, "GET /good/m HTTP/9.9\r\nHost: x\r\n\r\n"),
		raw("two lengths", 400, post("Content-Length: 3\r\nContent-Length: 4", "name")),
		raw("a negative length", 400, post("Content-Length: -1", good)),
		raw("a length and chunks", 400, post("Content-Length: 5\r\nTransfer-Encoding: chunked", "zz\r\n"+good)),
		raw("chunks that are none", 400, post("Transfer-Encoding: chunked", "zz\r\nname\r\n0\r\n\r\n")),
		raw("a chunk of 2^64 bytes", 400, post("Transfer-Encoding: chunked", "ffffffffffffffff0\r\nname\r\n")),
		raw("an encoding nobody knows", 501, post("Transfer-Encoding: gzip", good)),
		raw("a body of 1 GB, announced", 413, post("Content-Length: 1000000000\r\nExpect: 100-continue", "")+strings.Repeat("x", 70<<10)),
		raw("an expectation nobody knows", 417, post("Expect: the-moon\r\nContent-Length: 0", "")),
		raw("a good one at last", 200, post("Content-Length: "+strconv.Itoa(len(good)), good)),
	}
}

// talk sends bytes and returns the status of the first answer that is one.
func (h *hostile) talk(text string) (int, string) {
	c, err := net.Dial("tcp", strings.TrimPrefix(h.d.url, "http://"))
	if err != nil {
		return -1, err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patient))
	go func() { // the daemon may answer before it has read all of it
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	r := bufio.NewReader(c)
	for {
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			return 0, err.Error()
		}
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode == http.StatusContinue {
			continue
		}
		if len(body) > 1<<10 {
			body = body[:1<<10]
		}
		return response.StatusCode, string(body)
	}
}

// origins are servers that do not mean well.
func (h *hostile) origins(t *testing.T) []hostileCase {
	const user, password = "t0ken-us3r", "s3cr3t-p4ss"
	login := func(raw string) string { return strings.Replace(raw, "://", "://"+user+":"+password+"@", 1) }
	serve := func(answer http.HandlerFunc) string {
		server := httptest.NewServer(answer)
		t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
		return server.URL
	}
	thief := make(chan string, 100)
	elsewhere := serve(func(w http.ResponseWriter, r *http.Request) {
		if auth := r.Header.Get("Authorization"); auth != "" {
			thief <- auth
		}
		http.NotFound(w, r)
	})
	status := func(code int) string {
		return serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="`+user+`"`)
			w.WriteHeader(code)
			// An origin may well repeat what it was told.
			fmt.Fprintf(w, "%s %s %s", r.Header.Get("Authorization"), r.URL, code2text(r))
		})
	}
	redirect := func(to string) string {
		return serve(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusFound)
		})
	}
	advertise := func(body string) string {
		return serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, body)
		})
	}
	real := origin.NewProxy(t, origin.ServeHTTP(t, filepath.Dir(h.local)).URL)
	real.Set(origin.Fault{Drip: 50 * time.Millisecond})
	mute := origin.NewProxy(t, real.Addr)
	mute.Set(origin.Fault{Mute: true})
	bomb := serve(func(w http.ResponseWriter, r *http.Request) { // endless, and small on the way
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		line := []byte("003f" + strings.Repeat("a", 40) + " refs/heads/" + strings.Repeat("x", 6) + "\n")
		for r.Context().Err() == nil {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	})
	at := func(what, raw string) hostileCase { return h.posting(what, 500, fields("hostile", raw)) }
	cases := []hostileCase{
		at("401 with a password", login(status(401))+"/x.git"),
		at("403 with a password", login(status(403))+"/x.git"),
		at("404 with a password", login(status(404))+"/x.git"),
		at("500 with a password", login(status(500))+"/x.git"),
		at("a redirect to another host, with a password", login(redirect(elsewhere))+"/x.git"),
		at("a redirect to a file", redirect("file://"+h.local)+"/x.git"),
		at("a redirect to ext::", redirect("ext::touch")+"/x.git"),
		at("a redirect in a circle", serve(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
		})+"/x.git"),
		at("a mute port, with a password", login("http://"+mute.Addr)+"/x.git"),
		at("a dripping port", "http://"+real.Addr+"/"+filepath.Base(h.local)),
		at("a black hole", "git://"+origin.BlackHole(t)+"/x.git"),
		at("a closed port, with a password", login("http://127.0.0.1:1")+"/x.git"),
		at("a page instead of refs", advertise("<html>"+password+"</html>")+"/x.git"),
		at("a pkt-line that is none", advertise("zzzz")+"/x.git"),
		at("an endless list", bomb+"/x.git"),
		at("a list of wrong ids", advertise("001e# service=git-upload-pack\n0000"+pkt("deadbeef refs/heads/main\x00 agent=x\n")+"0000")+"/x.git"),
		h.posting("+refs out of refs/", 200, fields("illegal", advertise("001e# service=git-upload-pack\n0000"+pkt(strings.Repeat("a", 40)+" ../../../HEAD\x00 agent=x\n")+
			pkt(strings.Repeat("b", 40)+" refs/heads/../../config\n")+"0000")+"/x.git")), // they are left out
		h.posting("a password, at last", 500, fields("hostile", login("http://127.0.0.1:1")+"/x.git"), "Accept", "application/json"),
	}
	return append(cases, hostileCase{"nobody was sent the password", 200, func() (int, string) {
		select {
		case auth := <-thief:
			return 0, "sent on: " + auth[:6]
		default:
			return 200, ""
		}
	}})
}

func code2text(r *http.Request) string {
	user, password, _ := r.BasicAuth()
	return user + " " + password
}

// pkt is a line of git's protocols.
func pkt(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// repositories are good servers with bad content.
func (h *hostile) repositories(t *testing.T) []hostileCase {
	root := t.TempDir()
	repo := func(name string, options ...string) *origin.Repo {
		return origin.New(t, filepath.Join(root, name+".git"), options...)
	}
	commit := func(r *origin.Repo, ref, tree string) string {
		id := r.Git("commit-tree", "-m", "m", tree)
		r.Git("update-ref", ref, id)
		return id
	}
	// mktree refuses such entries; so the tree is written as it is.
	evil := func(r *origin.Repo, mode, entry, id string) string {
		raw := make([]byte, 20)
		for i := range raw {
			n, err := strconv.ParseUint(id[2*i:2*i+2], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			raw[i] = byte(n)
		}
		return r.GitIn(mode+" "+entry+"\x00"+string(raw), "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
	}
	tree := func(name, mode, entry string) string {
		r := repo(name)
		blob := r.GitIn("pwned", "hash-object", "-w", "--stdin")
		if mode == "40000" {
			blob = r.GitIn("100644 blob "+blob+"\tx\n", "mktree")
		}
		commit(r, "refs/heads/main", evil(r, mode, entry, blob))
		return r.Dir
	}

	sha256 := repo("sha256", "--object-format=sha256")
	sha256.Commit("main", map[string]string{"f": "1"})

	loop := repo("loop")
	a, b := loop.Commit("main", map[string]string{"f": "1"}), loop.Commit("main", map[string]string{"f": "2"})
	loop.Git("update-ref", "refs/replace/"+a, b)
	loop.Git("update-ref", "refs/replace/"+b, a)

	options := repo("options")
	tip := options.Commit("main", map[string]string{"f": "1"})
	for _, name := range []string{"--upload-pack=x", "-x", "--output=x", "--exec=x", "$(id)", ";id", "|id", "`id`", "HEAD", "refs/heads/main"} {
		options.Git("update-ref", "refs/heads/"+name, tip)
	}

	links := repo("links")
	links.Import("commit refs/heads/main\ncommitter T <t@e> 1 +0000\ndata 1\nx\n" +
		"M 120000 inline up\ndata 14\n../../../../..\nM 120000 inline abs\ndata 11\n/etc/passwd\nM 100644 inline file\ndata 1\nx\n\n")

	many := repo("many")
	manyTip := many.Commit("main", map[string]string{"f": "1"})
	var packed strings.Builder
	packed.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
	for i := range shortOrLong(20_000, 200_000) {
		fmt.Fprintf(&packed, "%s refs/heads/n%06d\n", manyTip, i)
	}
	if err := os.WriteFile(filepath.Join(many.Dir, "packed-refs"), []byte(packed.String()), 0o644); err != nil {
		t.Fatal(err)
	}

	deep := repo("deep")
	deep.Import("commit refs/heads/main\ncommitter T <t@e> 1 +0000\ndata 1\nx\nM 100644 inline " + strings.Repeat("d/", 30_000) + "f\ndata 1\nx\n\n")

	bomb := repo("bomb")
	blob := bomb.GitIn("bomb", "hash-object", "-w", "--stdin")
	mode, kind := "100644", "blob"
	for range 10 {
		var entries strings.Builder
		for i := range 10 {
			fmt.Fprintf(&entries, "%s %s %s\tf%d\n", mode, kind, blob, i)
		}
		blob = bomb.GitIn(entries.String(), "mktree")
		mode, kind = "040000", "tree"
	}
	commit(bomb, "refs/heads/main", blob)

	// "+": a mirror is made.
	post := func(what string, want int, dir string) hostileCase {
		name := "repo/" + strings.TrimSuffix(filepath.Base(dir), ".git")
		return h.posting(what, want, fields(name, dir))
	}
	broken := func(what, path string) hostileCase { // an error or a connection that is cut, but no whole answer
		return hostileCase{what, 500, func() (int, string) {
			a, err := h.d.try("GET", path, nil)
			if err != nil || a.err != nil {
				return 500, ""
			}
			return shown(a)
		}}
	}
	contents := func(what, path, member string) hostileCase {
		return hostileCase{what, 200, func() (int, string) {
			a := h.d.get(path)
			if files := a.files(t); files[member] == "" {
				return 0, fmt.Sprint(files)
			}
			return 200, ""
		}}
	}
	cases := []hostileCase{
		post("+SHA-256", 200, sha256.Dir), contents("SHA-256 is served", "/repo/sha256", "f"),
		post("+refs/replace in a loop", 200, loop.Dir), contents("it is not followed", "/repo/loop?ref="+b, "f"),
		post("a tree with ..", 500, tree("dotdot", "40000", "..")),
		post("a tree with .git", 500, tree("dotgit", "40000", ".git")),
		post("a tree with .GIT as a file", 500, tree("dotgitfile", "100644", ".GIT")),
		post("a tree with a slash", 500, tree("slash", "100644", "a/../../b")),
		post("a tree with git~1", 500, tree("short", "40000", "git~1")),
		post("refs named like options", 200, options.Dir), contents("they are served", "/repo/options?ref=refs/heads/--output=x", "f"),
		h.getting("not by their short names", 400, "/repo/options?ref=--output=x"),
		post("links out of the tree", 200, links.Dir), contents("links are links", "/repo/links", "file"),
		h.getting("nobody goes through a link", 404, "/repo/links?path=abs/x"),
		h.getting("nor up", 404, "/repo/links?path=up/canary"),
		post("very many refs", 200, many.Dir), contents("they are served", "/repo/many?ref=n019999", "f"),
	}
	if !soak() { // TestTreesThatBreakGit has the same
		return cases
	}
	return append(cases,
		post("30,000 directories in each other", 200, deep.Dir), broken("git archive does not take them", "/repo/deep"),
		post("a tree bomb", 200, bomb.Dir), broken("it does not explode", "/repo/bomb"), broken("nor compressed", "/repo/bomb?format=tar.gz"),
		h.getting("nor is it forgotten", 500, "/repo/bomb"),
	)
}

// links are symbolic links in the storage, which an operator or an intruder may have
// made.
func (h *hostile) links(t *testing.T) []hostileCase {
	link := func(name, to string) {
		path := h.d.mirror(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	link("link/out", filepath.Join(h.outer, "in", "secret"))
	link("link/round", "..")
	link("link/nowhere", filepath.Join(h.outer, "in", "made"))
	link("link/self", "self")
	return []hostileCase{
		h.getting("a link to a directory that is no mirror", 404, "/link/out"),
		h.getting("a link that goes round", 404, "/link/round/good/m"),
		h.posting("a link that goes round", 409, fields("link/round/good/m", h.local)),
		h.getting("a link to itself", 500, "/link/self"),
		h.posting("a mirror in place of a link", 409, fields("link/out", h.local)),
		h.posting("a mirror in place of a link to nowhere", 409, fields("link/nowhere", h.local)),
		h.posting("a mirror behind a link", 409, fields("link/out/m", h.local)),
		h.posting("a mirror behind a link to nowhere", 409, fields("link/nowhere/m", h.local)),
	}
}
