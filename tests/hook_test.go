package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// pusher is a repository with the hook, and a clone that pushes to it.
type pusher struct {
	t    *testing.T
	repo *origin.Repo
	work string
	n    int
}

// newPusher makes a repository below root whose hook tells a server, and clones it
// from a URL.
func newPusher(t *testing.T, repo *origin.Repo, cloneURL string, config ...string) *pusher {
	t.Helper()
	hook, err := os.ReadFile("../contrib/post-receive")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(repo.Dir, "hooks", "post-receive")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, hook, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(config); i += 2 {
		repo.Git("config", config[i], config[i+1])
	}
	p := &pusher{t: t, repo: repo, work: filepath.Join(t.TempDir(), "work")}
	if out, err := origin.Command("clone", "--quiet", cloneURL, p.work).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

// push commits and pushes, and returns what the pusher sees below "remote:".
func (p *pusher) push() string {
	p.t.Helper()
	p.n++
	for _, args := range [][]string{{"commit", "--quiet", "--allow-empty", "-m", fmt.Sprint(p.n)}, {"push", "origin", "HEAD:main"}} {
		cmd := origin.Command(append([]string{"-C", p.work}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			p.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		if args[0] == "push" {
			var seen strings.Builder
			for _, m := range regexp.MustCompile(`(?m)^remote: (.*?) *$`).FindAllStringSubmatch(string(out), -1) {
				seen.WriteString(m[1] + "\n")
			}
			return seen.String()
		}
	}
	return ""
}

func TestHookShowsThePusherWhatHappened(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	root := t.TempDir()
	repo := origin.New(t, filepath.Join(root, "a+b &c.git"))
	repo.Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	originURL := server.URL + "/a+b%20&c.git"
	slave := start(t)
	d := start(t, "master = true", slaves(slave.url))
	p := newPusher(t, repo, originURL, "sould.url", d.url, "sould.name", "my/a+b", "sould.origin", originURL)

	seen := p.push()
	want := regexp.MustCompile(`(?m)^master +[0-9a-f]{12}  1 ref changed  \d+\.\d\ds
127\.0\.0\.1:\d+ +[0-9a-f]{12}  1 ref changed  \d+\.\d\ds
$`)
	if !want.MatchString(seen) || !strings.Contains(seen, repo.Git("rev-parse", "main")[:12]) {
		t.Errorf("the pusher sees\n%s", seen)
	}
	d.get("/my/a+b").expect(t, 200, "X-Revision", repo.Git("rev-parse", "main"))

	// A slave is down: a tree of reasons, and the push is fine.
	slave.stop()
	seen = p.push()
	address := strings.TrimPrefix(slave.url, "http://")
	wanted := "my/a+b (" + originURL + ")\n├─ slave " + address + "\n│  └─ dial tcp " + address +
		": connect: connection refused\n└─ pulled: master\nwhy: " + d.url + "/x/why/my/a+b\nsould: the push itself is fine, and sould is told later\n"
	if !strings.HasSuffix(seen, wanted) { // on a slow machine, below lines of progress
		t.Errorf("the pusher sees\n%s\nwant\n%s", seen, wanted)
	}

	// The server is down: the push is fine.
	d.stop()
	if seen = p.push(); !strings.Contains(seen, "sould: not told: "+d.url+" did not answer; the push itself is fine, and sould is told later") {
		t.Errorf("the pusher sees\n%s", seen)
	}

	// The server hangs: the push waits as long as it was told.
	mute := origin.NewProxy(t, "127.0.0.1:1")
	mute.Set(origin.Fault{Mute: true})
	repo.Git("config", "sould.url", "http://"+mute.Addr)
	repo.Git("config", "sould.wait", "0")
	if seen = p.push(); !strings.Contains(seen, "timed out") || !strings.Contains(seen, "the push itself is fine") {
		t.Errorf("the pusher sees\n%s", seen)
	}
	for wait, want := range map[string]string{"20s": "must be a number", "1.5": "must be a number", "08": "timed out"} {
		repo.Git("config", "sould.wait", wait)
		if wait == "08" {
			repo.Git("config", "sould.url", "http://127.0.0.1:1")
			want = "did not answer"
		}
		if seen = p.push(); !strings.Contains(seen, want) || strings.Contains(seen, "Illegal") {
			t.Errorf("sould.wait=%s: the pusher sees\n%s", wait, seen)
		}
	}
}

// TestHookSaysWhichSettingIsMissing, and notes that sould must be told when it is there.
func TestHookSaysWhichSettingIsMissing(t *testing.T) {
	t.Parallel()
	repo := newOrigin(t)
	p := newPusher(t, repo, repo.Dir, "sould.name", "m")
	if seen := p.push(); seen != "sould: not told: not configured in this repository: sould.url, sould.origin\nsould: the push itself is fine, and sould is told later\n" {
		t.Errorf("the pusher sees\n%s", seen)
	}
	if n := len(p.pending()); n != 1 {
		t.Errorf("%d notes are left of what sould was not told, not one", n)
	}
}

// pending are the notes in the repository of what sould must still be told.
func (p *pusher) pending() []string {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.repo.Dir, "sould-pending.*"))
	if err != nil {
		p.t.Fatal(err)
	}
	return files
}

// hook runs the hook in a shell as git does, without a push, and returns what it says.
func (p *pusher) hook(shell string, args ...string) (out string, err error) {
	cmd := exec.Command(shell, append([]string{filepath.Join(p.repo.Dir, "hooks", "post-receive")}, args...)...)
	cmd.Dir = p.repo.Dir
	cmd.Env = append(environ(), "GIT_DIR=.")
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// shells are those that the hook must work in.
func shells() (found []string) {
	for _, shell := range []string{"dash", "bash"} {
		if _, err := exec.LookPath(shell); err == nil {
			found = append(found, shell)
		}
	}
	return found
}

// TestHookLosesNothing: what sould was not told is told by the next push, or by --flush.
func TestHookLosesNothing(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	repo := newOrigin(t)
	d := start(t)
	p := newPusher(t, repo, repo.Dir, "sould.url", d.url, "sould.name", "m", "sould.origin", repo.Dir)
	address := strings.TrimPrefix(d.url, "http://")
	again := func() { d.configure(`listen = "` + address + `"`); d.run() }
	want := func(what string, pending int) {
		t.Helper()
		if n := len(p.pending()); n != pending {
			t.Errorf("%s: %d notes are left, want %d", what, n, pending)
		}
	}
	p.push()
	want("told", 0)

	d.stop()
	for range 3 {
		p.push()
	}
	want("nobody is there", 1)
	again()
	p.push()
	want("the next push", 0)

	for _, shell := range shells() {
		d.stop()
		p.push()
		if out, err := p.hook(shell, "--flush", repo.Dir); err == nil || !strings.Contains(out, d.url+" did not answer; asked again the next time") {
			t.Errorf("%s: nobody is there: %v, %s", shell, err, out)
		}
		want("a flush without a server", 1)
		again()
		if out, err := p.hook(shell, "--flush", filepath.Dir(repo.Dir)); err != nil || !strings.Contains(out, "sould: told that "+repo.Dir+" has changed") {
			t.Errorf("%s: %v, %s", shell, err, out)
		}
		want("a flush", 0)
		d.get("/m").expect(t, http.StatusOK, "X-Revision", repo.Git("rev-parse", "main"))
		if out, err := p.hook(shell, "--flush"); err != nil || out != "" {
			t.Errorf("%s: with nothing to tell: %v, %q", shell, err, out)
		}
	}
}

// TestHookKeepsWhatIsRefused: sould answers that it cannot do what it is told.
func TestHookKeepsWhatIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	repo := newOrigin(t)
	d := start(t)
	d.pulled("m", repo.Dir)
	p := newPusher(t, repo, repo.Dir, "sould.url", d.url, "sould.name", "m", "sould.origin", repo.Dir+"2")
	if seen := p.push(); !strings.Contains(seen, "move=") || !strings.HasSuffix(seen, "sould: the push itself is fine, and sould is told later\n") {
		t.Errorf("the pusher sees\n%s", seen)
	}
	if out, err := p.hook("sh", "--flush"); err == nil || !strings.Contains(out, "asked again the next time") {
		t.Errorf("%v, %s", err, out)
	}
	if n := len(p.pending()); n != 1 {
		t.Errorf("%d notes are left, not one", n)
	}
	for _, args := range [][]string{{"--flush", "/none"}, {"--nonsense"}} {
		if out, err := p.hook("sh", args...); err == nil || !strings.HasPrefix(out, "usage: ") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
}

// TestHookNamesTheSettingOfTheToken: a server that refuses the token, or wants one.
func TestHookNamesTheSettingOfTheToken(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	repo := newOrigin(t)
	d := start(t, fmt.Sprintf("token = %q", token))
	p := newPusher(t, repo, repo.Dir, "sould.url", d.url, "sould.name", "m", "sould.origin", repo.Dir)
	for _, c := range []struct{ token, words string }{
		{"", " needs its token in sould.token or sould.tokenFile\n"},
		{stranger, " has another token than the one in sould.token or sould.tokenFile\n"},
		{token, ""},
	} {
		if c.token != "" {
			repo.Git("config", "sould.token", c.token)
		}
		seen := p.push()
		if strings.Contains(seen, "sould.token") != (c.words != "") || !strings.Contains(seen, c.words) {
			t.Errorf("with %q the pusher sees\n%s", c.token, seen)
		}
		tellsNothing(t, []string{token, stranger}, seen)
	}
}

// TestHooksAtOnce: of pushes at the same time none is forgotten, whoever of them has success when.
func TestHooksAtOnce(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	for _, shell := range shells() {
		asked := make(chan chan int) // of each request; it is answered with what is sent
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer := make(chan int)
			asked <- answer
			w.WriteHeader(<-answer)
		}))
		defer server.Close()
		repo := newOrigin(t)
		p := newPusher(t, repo, repo.Dir, "sould.url", server.URL, "sould.name", "m", "sould.origin", repo.Dir)
		// begin runs the hook, and returns how to answer it, which waits until it has ended.
		begin := func() (answer func(status int)) {
			ended := make(chan bool)
			go func() {
				if out, err := p.hook(shell); err != nil {
					t.Errorf("%s: %v, %s", shell, err, out)
				}
				close(ended)
			}()
			c := <-asked
			return func(status int) { c <- status; <-ended }
		}
		left := func(what string, want bool) {
			t.Helper()
			if n := len(p.pending()); (n > 0) != want || n > 2 {
				t.Errorf("%s: %s: %d notes are left", shell, what, n)
			}
		}
		a := begin()
		b := begin()
		b(500)
		a(200)
		left("the first one was asked before the second push", true)
		begin()(200)
		left("all is told", false)

		a, b = begin(), begin()
		a(500)
		b(200)
		left("the second one was asked after the first push", false)
		a, b = begin(), begin()
		a(500)
		b(500)
		left("both have failed", true)
		for range 5 {
			begin()(503)
		}
		begin()(202)
		left("the work goes on", true)
		begin()(200)
		left("all is told", false)
	}
}

// TestHookIsKilled: what a hook was about to tell is told by the next one.
func TestHookIsKilled(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	repo := newOrigin(t)
	asked := make(chan bool, 1)
	held := newHold(t)
	mute := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- true; held.wait() }))
	defer mute.Close()
	defer held.release()
	p := newPusher(t, repo, repo.Dir, "sould.url", mute.URL, "sould.name", "m", "sould.origin", repo.Dir)
	cmd := exec.Command(filepath.Join(repo.Dir, "hooks", "post-receive"))
	cmd.Dir = repo.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	d := start(t)
	repo.Git("config", "sould.url", d.url)
	if out, err := p.hook("sh", "--flush"); err != nil || len(p.pending()) != 0 {
		t.Errorf("%v, %s, %q", err, out, p.pending())
	}
	d.get("/m").expect(t, http.StatusOK)
}

// TestHookIsClean: shellcheck finds nothing in the scripts.
func TestHookIsClean(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("no shellcheck on this machine")
	}
	if out, err := exec.Command("shellcheck", "../contrib/post-receive", "../contrib/github-app-token").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestHookShowsProgress: a pusher sees how far the work is, from which servers, and not the line
// with the status, which is for the hook.
func TestHookShowsProgress(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	repo, url, flow := slowOrigin(t, 128)
	slave := start(t)
	d := start(t, "master = true", `timeout = "5m"`, slaves(slave.url))
	p := newPusher(t, repo, repo.Dir, "sould.url", d.url, "sould.name", "m", "sould.origin", url)
	go func() { // while it is pushed
		within(patient, func() bool { return strings.Contains(d.get("/x/status?name=m&upstream=0").text(), "receiving objects") })
		within(patient, func() bool { return strings.Contains(slave.get("/x/status?name=m").text(), "receiving objects") })
		time.AfterFunc(3*time.Second, flow) // lines come once a second
	}()
	seen := p.push()
	want := regexp.MustCompile(`(?m)^master: receiving objects \d+ % .*$(?s:.*)^master +[0-9a-f]{12}  1 ref changed  \d+\.\d\ds
127\.0\.0\.1:\d+ +[0-9a-f]{12}  1 ref changed  \d+\.\d\ds
$`)
	if !want.MatchString(seen) || !regexp.MustCompile(`(?m)^127.*: receiving objects`).MatchString(seen) || strings.Contains(seen, "status:") || strings.Contains(seen, "exit:") {
		t.Errorf("the pusher sees\n%s", seen)
	}

	// An older sould, and one that dies in the middle.
	repo.Git("config", "sould.url", newOldSould(t, text(502, "m\n└─ no\n")).URL)
	if seen := p.push(); seen != "m\n└─ no\nsould: the push itself is fine, and sould is told later\n" {
		t.Errorf("the pusher sees\n%s", seen)
	}
	repo.Git("config", "sould.url", newOldSould(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "m: at work")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}).URL)
	if seen := p.push(); !strings.Contains(seen, "m: at work") || !strings.Contains(seen, "the push itself is fine") {
		t.Errorf("the pusher sees\n%s", seen)
	}
}

func TestHookOverSSH(t *testing.T) {
	ssh := origin.ServeSSH(t)
	if ssh == nil {
		t.Skip("no sshd on this machine")
	}
	repo := newOrigin(t)
	d := start(t, fmt.Sprintf("ssh_command = %q", ssh.Command))
	t.Setenv("GIT_SSH_COMMAND", ssh.Command)
	p := newPusher(t, repo, ssh.URL+repo.Dir, "sould.url", d.url, "sould.name", "m", "sould.origin", ssh.URL+repo.Dir)
	if seen := p.push(); !regexp.MustCompile(`(?m)^m  [0-9a-f]{12}  1 ref changed  \d+\.\d\ds\n$`).MatchString(seen) {
		t.Errorf("the pusher sees\n%s", seen)
	}
	d.get("/m").expect(t, http.StatusOK, "X-Revision", repo.Git("rev-parse", "main"))
}

// TestHookKeepsSecrets: what goes through curl does not show in the process list, and
// arrives as it is.
func TestHookKeepsSecrets(t *testing.T) {
	repo := newOrigin(t)
	bin := t.TempDir()
	script := "#!/bin/sh\n{ printf '%s\\n' \"$*\"; cat; } >" + bin + "/seen\n"
	if err := os.WriteFile(filepath.Join(bin, "curl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	originURL := `https://jack:s3\"cret@h/x.git`
	p := newPusher(t, repo, repo.Dir, "sould.url", "http://h", "sould.name", "m", "sould.origin", originURL, "sould.token", `to"ken`)
	p.push()
	seen, err := os.ReadFile(filepath.Join(bin, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	arguments, config, _ := strings.Cut(string(seen), "\n")
	if strings.Contains(arguments, "cret") || strings.Contains(arguments, "ken") {
		t.Errorf("curl is called with %s", arguments)
	}
	want := `data-urlencode = "origin=https://jack:s3\\\"cret@h/x.git"` + "\n" + `header = "Authorization: Bearer to\"ken"` + "\n"
	if config != want {
		t.Errorf("curl reads\n%swant\n%s", config, want)
	}
}
