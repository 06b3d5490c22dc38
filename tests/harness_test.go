// Package tests drives the real sould as its users do: over HTTP, by signals,
// with real git servers behind it.
package tests

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// binary is the sould that the tests run.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sould-tests")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "sould")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "..")...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 1
	}
	os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	flag.Parse()
	if cpus := strconv.Itoa(runtime.GOMAXPROCS(0)); flag.Lookup("test.parallel").Value.String() == cpus {
		_ = flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0))) // they mostly wait
	}
	return m.Run()
}

// patient bounds what a test waits for that must happen.
const patient = 30 * time.Second

// eventually waits until what is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !within(patient, ok) {
		t.Fatalf("not within %s: %s", patient, what)
	}
}

// within reports whether something comes true in time.
func within(limit time.Duration, ok func() bool) bool {
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			return false
		case <-tick.C:
		}
	}
	return true
}

// daemon is a running sould.
type daemon struct {
	t       *testing.T
	storage string
	conf    string // its configuration file
	flags   []string
	env     []string
	user    string       // the number of the user that it runs as; empty for that of the test
	ulimit  string       // options of the shell's ulimit for it; may be empty
	before  []string     // a command that it is started by, in a place of its own; may be empty
	client  *http.Client // that reaches it there; may be nil
	url     string
	wrote   func() // called when a request is sent; may be nil

	cmd    *exec.Cmd
	log    *logText
	exited chan struct{}
}

// start starts a sould on a storage of its own, with these lines in its
// configuration, and checks when the test is over that it ends well.
func start(t *testing.T, lines ...string) *daemon {
	t.Helper()
	d := prepare(t, lines...)
	d.run()
	return d
}

// prepare makes all that a sould needs, but does not start it.
func prepare(t *testing.T, lines ...string) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{
		t: t, storage: filepath.Join(dir, "storage"), conf: filepath.Join(dir, "sould.conf"),
		flags: []string{"--unsecure"},
	}
	d.configure(lines...)
	return d
}

// configure writes the configuration file.
func (d *daemon) configure(lines ...string) {
	d.t.Helper()
	text := fmt.Sprintf("storage = %q\n", d.storage)
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "listen") }) {
		text += "listen = \"127.0.0.1:0\"\n"
	}
	text += strings.Join(lines, "\n") + "\n"
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "repair") }) {
		text += "repair = 0\n" // what is not asked for must not happen by itself
	}
	// In one step: the daemon may just be reading it.
	if err := os.WriteFile(d.conf+".new", []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(d.conf+".new", d.conf); err != nil {
		d.t.Fatal(err)
	}
}

// run starts the process and waits until it listens.
func (d *daemon) run() {
	d.t.Helper()
	d.launch()
	d.url = "http://" + d.wait(`INFO started listen=(\S+)`)[1]
	d.t.Cleanup(d.stop)
}

// launch starts the process.
func (d *daemon) launch() {
	d.t.Helper()
	d.log = &logText{}
	d.cmd = exec.Command(binary, append([]string{"-c", d.conf}, d.flags...)...)
	if d.ulimit != "" {
		d.cmd = exec.Command("sh", append([]string{"-c", "ulimit " + d.ulimit + ` && exec "$0" "$@"`}, d.cmd.Args...)...)
	}
	if d.user != "" {
		d.cmd = exec.Command("setpriv", append([]string{"--reuid=" + d.user, "--regid=" + d.user, "--clear-groups"}, d.cmd.Args...)...)
	}
	if len(d.before) > 0 {
		d.cmd = exec.Command(d.before[0], append(d.before[1:], d.cmd.Args...)...)
	}
	d.cmd.Stderr = d.log
	d.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1 exitcode=66")
	d.cmd.Env = append(d.cmd.Env, d.env...)
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(d.cmd, d.exited)
}

// wait waits for a line of the log and returns what its groups match.
func (d *daemon) wait(pattern string) []string {
	d.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	ended := false
	ok := within(patient, func() bool {
		select {
		case <-d.exited:
			ended = true // what it has logged is complete now
		default:
		}
		found = re.FindStringSubmatch(d.log.String())
		return found != nil || ended
	})
	if found == nil {
		d.t.Fatalf("no line like %s in the log (ended: %v, in time: %v):\n%s", pattern, ended, ok, d.log)
	}
	return found
}

// signal sends a signal to the daemon.
func (d *daemon) signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// reload changes the configuration and waits until the daemon has read it.
func (d *daemon) reload(lines ...string) {
	d.t.Helper()
	d.configure(lines...)
	before := strings.Count(d.log.String(), "reloaded")
	d.signal(syscall.SIGHUP)
	eventually(d.t, "a reload", func() bool { return strings.Count(d.log.String(), "reloaded") > before })
}

// kill ends the daemon as a power failure would: alone, so that its children live
// on, and without a chance to say goodbye.
func (d *daemon) kill() {
	d.t.Helper()
	d.signal(syscall.SIGKILL)
	<-d.exited
}

// stop ends the daemon in good order, and checks that it was.
func (d *daemon) stop() {
	d.t.Helper()
	select {
	case <-d.exited:
		if d.cmd.ProcessState.ExitCode() >= 0 && d.cmd.ProcessState.ExitCode() != 0 {
			d.t.Errorf("sould ended with %v:\n%s", d.cmd.ProcessState, d.log)
		}
		return
	default:
	}
	d.signal(syscall.SIGTERM)
	select {
	case <-d.exited:
	case <-time.After(patient + 10*time.Second):
		d.signal(syscall.SIGQUIT)
		<-d.exited
		d.t.Errorf("sould does not end:\n%s", d.log)
		return
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		d.t.Errorf("sould ended with status %d:\n%s", code, d.log)
	}
	d.childless()
	if d.t.Failed() {
		d.t.Logf("the log of %s:\n%s", d.url, d.log)
	}
}

// childless checks that no process that the daemon started is alive.
func (d *daemon) childless() {
	d.t.Helper()
	f, err := os.Open(filepath.Join(d.storage, ".sould", "children"))
	if err != nil {
		d.t.Error(err)
		return
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		d.t.Errorf("a child has outlived its daemon: %v", err)
	}
}

// logText collects what a daemon logs.
type logText struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// answer is what a daemon answers.
type answer struct {
	*http.Response
	body []byte
	err  error // while the body was read
}

func (a answer) text() string { return string(a.body) }

// client never waits longer than a test does, and reuses no connections, so that
// a daemon that is gone is noticed.
var client = &http.Client{Timeout: patient + 30*time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// do sends a request. Pairs of header names and values may follow.
func (d *daemon) do(method, path string, body io.Reader, headers ...string) answer {
	d.t.Helper()
	a, err := d.try(method, path, body, headers...)
	if err != nil {
		d.t.Fatalf("%s %s: %v\n%s", method, path, err, d.log)
	}
	return a
}

func (d *daemon) try(method, path string, body io.Reader, headers ...string) (answer, error) {
	ctx := context.Background()
	if d.wrote != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { d.wrote() }})
	}
	r, err := http.NewRequestWithContext(ctx, method, d.url+path, body)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := cmp.Or(d.client, client).Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{Response: response}
	a.body, a.err = io.ReadAll(response.Body)
	return a, nil
}

func (d *daemon) get(path string, headers ...string) answer {
	d.t.Helper()
	return d.do("GET", path, nil, headers...)
}

// form is the body of a POST for a mirror. Pairs of more fields may follow.
func form(name, origin string, fields ...string) io.Reader {
	values := url.Values{"name": {name}, "origin": {origin}}
	for i := 0; i+1 < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return strings.NewReader(values.Encode())
}

const formType = "application/x-www-form-urlencoded"

func (d *daemon) post(name, origin string, fields ...string) answer {
	d.t.Helper()
	return d.do("POST", "/", form(name, origin, fields...), "Content-Type", formType)
}

// pulled posts and expects success.
func (d *daemon) pulled(name, origin string, fields ...string) answer {
	d.t.Helper()
	a := d.post(name, origin, fields...)
	if a.StatusCode != http.StatusOK {
		d.t.Fatalf("POST %s %s: %s\n%s", name, origin, a.Status, a.text())
	}
	return a
}

// report is a POST's answer as JSON.
type report struct {
	Name, Origin, Address, State, Branch, Revision, Progress, Error string
	Status                                                          int
	RefsChanged                                                     int    `json:"refs_changed"`
	HierarchicalError                                               string `json:"hierarchical_error"`
	Slaves                                                          []report
}

func (a answer) report(t *testing.T) report {
	t.Helper()
	var r report
	if err := json.Unmarshal(a.body, &r); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return r
}

// files are the regular files of a tar, by name.
func (a answer) files(t *testing.T) map[string]string {
	t.Helper()
	if a.StatusCode != http.StatusOK || a.err != nil {
		t.Fatalf("%s %v\n%s", a.Status, a.err, a.text())
	}
	files := make(map[string]string)
	r := tar.NewReader(bytes.NewReader(a.body))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			files[h.Name] = string(text)
		}
	}
}

// expect checks the status and some headers of an answer.
func (a answer) expect(t *testing.T, status int, headers ...string) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s %s: status %s, want %d\n%.2000s", a.Request.Method, a.Request.URL, a.Status, status, a.text())
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if got := a.Header.Get(headers[i]); got != headers[i+1] {
			t.Errorf("%s %s: %s is %q, want %q", a.Request.Method, a.Request.URL, headers[i], got, headers[i+1])
		}
	}
	return a
}

// contains checks that an answer's text has these parts.
func (a answer) contains(t *testing.T, parts ...string) answer {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(a.text(), part) {
			t.Errorf("%s %s: no %q in\n%s", a.Request.Method, a.Request.URL, part, a.text())
		}
	}
	return a
}

// newOrigin makes a repository with one commit on main.
func newOrigin(t *testing.T) *origin.Repo {
	t.Helper()
	r := origin.New(t, filepath.Join(t.TempDir(), "origin.git"))
	r.Commit("main", map[string]string{"file": "1"})
	return r
}

// refs are a repository's refs as git shows them, but for those that sould keeps.
func refs(t *testing.T, dir string) string {
	t.Helper()
	out, err := origin.Command("--git-dir="+dir, "for-each-ref", "--format=%(refname) %(objectname)").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var all strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "refs/sould/") {
			all.WriteString(line)
		}
	}
	return all.String()
}

// mirror is the directory of a mirror.
func (d *daemon) mirror(name string) string {
	return filepath.Join(d.storage, filepath.FromSlash(name))
}

// fsck checks all objects of a mirror. What git misses of a pack that a repack has just
// replaced is no damage: then it looks once more.
func (d *daemon) fsck(name string) {
	d.t.Helper()
	for again := 0; ; again++ {
		out, err := origin.Command("--git-dir="+d.mirror(name), "fsck", "--full", "--strict").CombinedOutput()
		if err == nil && !strings.Contains(string(out), "error") {
			return
		}
		if pack := lackedPack.FindSubmatch(out); again == 3 || pack == nil || exists(string(pack[1])) {
			d.t.Errorf("fsck of %s: %v\n%s", name, err, out)
			return
		}
	}
}

var lackedPack = regexp.MustCompile(`error: packfile (\S+\.pack) (?:index not opened|cannot be accessed)`)

// waitRead waits until the daemon has read all that clients have sent to it.
func (d *daemon) waitRead() {
	d.t.Helper()
	u, err := url.Parse(d.url)
	if err != nil {
		d.t.Fatal(err)
	}
	port := fmt.Sprintf(":%04X", mustAtoi(d.t, u.Port()))
	eventually(d.t, "all requests are read", func() bool {
		table, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			d.t.Fatal(err)
		}
		for line := range strings.Lines(string(table)) {
			// Local address, remote address, state, sizes of both queues.
			f := strings.Fields(line)
			if len(f) > 4 && strings.HasSuffix(f[1], port) && !strings.HasSuffix(f[4], ":00000000") {
				return false
			}
		}
		return true
	})
}

func mustAtoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func withCancel(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return ctx, cancel
}

// hold makes others wait until it is released, at the latest when the test ends.
type hold struct {
	c    chan bool
	once sync.Once
}

func newHold(t *testing.T) *hold {
	h := &hold{c: make(chan bool)}
	t.Cleanup(h.release)
	return h
}

func (h *hold) wait()    { <-h.c }
func (h *hold) release() { h.once.Do(func() { close(h.c) }) }
