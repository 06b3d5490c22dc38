// Package tests drives the real sould as its users do: over HTTP, by signals,
// with real git servers behind it.
package tests

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
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
	build.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }) // as a hook has them
	if err := build.Run(); err != nil {
		return 1
	}
	for _, v := range os.Environ() { // a proxy would be asked for the servers of the tests
		if name, _, _ := strings.Cut(v, "="); strings.HasSuffix(strings.ToLower(name), "_proxy") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	flag.Parse()
	if cpus := strconv.Itoa(runtime.GOMAXPROCS(0)); flag.Lookup("test.parallel").Value.String() == cpus {
		_ = flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0))) // they mostly wait
	}
	return m.Run()
}

// patient bounds what a test waits for that must happen. Only what hangs takes so long, also on a
// machine that is busy.
const patient = 2 * time.Minute

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
	files   []*os.File   // that it is passed, from descriptor 3 on
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
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "repair") }) {
		text += "repair = 0\n" // what is not asked for must not happen by itself
	}
	text += strings.Join(lines, "\n") + "\n" // the last: there may be tables
	// In one step: the daemon may just be reading it.
	if err := errors.Join(os.WriteFile(d.conf+".new", []byte(text), 0o644), os.Chmod(d.conf+".new", 0o644)); err != nil { // whatever the umask is
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
	d.cmd.ExtraFiles = d.files
	d.cmd.Env = append(environ(), "GORACE=halt_on_error=1 exitcode=66")
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

// environ is the environment of programs under test: that of the tests, without what is said to the
// tests themselves (SOULD_SOAK). To sould, such a variable would be a key of its configuration.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SOULD_") })
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

// logged checks how many records with these words the daemon has logged until now. The last one
// may come a moment after the answer to what it tells of.
func (d *daemon) logged(words string, want int) {
	d.t.Helper()
	count := func() int { return strings.Count(d.log.String(), words) }
	within(patient, func() bool { return count() >= want })
	if n := count(); n != want {
		d.t.Errorf("%s has logged %q %d times, want %d:\n%s", d.url, words, n, want, d.log)
	}
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
	// A process that ends closes its standard error, for which the daemon waits, a moment before this
	// file.
	if !within(10*time.Second, func() bool { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil }) {
		d.t.Error("a child has outlived its daemon")
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

func (h *hold) wait() { <-h.c }

func (h *hold) release() { h.once.Do(func() { close(h.c) }) }

// heldOrigin is an origin that says when it is asked, and holds its answers.
func heldOrigin(t *testing.T) (url string, arrived chan bool, held *hold) {
	t.Helper()
	_, server, url := served(t)
	arrived, held = make(chan bool, 64), newHold(t)
	server.Before(func(*http.Request) { arrived <- true; held.wait() })
	return url, arrived, held
}
