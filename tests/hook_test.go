package tests

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

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
	want := regexp.MustCompile(`^master +[0-9a-f]{12}  1 ref changed  \d+\.\d\ds
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
		": connect: connection refused\n└─ pulled: master\n"
	if seen != wanted {
		t.Errorf("the pusher sees\n%s\nwant\n%s", seen, wanted)
	}

	// The server is down: the push is fine.
	d.stop()
	if seen = p.push(); !strings.Contains(seen, "sould: not told: "+d.url+" did not answer; the push itself is fine") {
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
	repo.Git("config", "--unset", "sould.url")
	if seen = p.push(); !strings.Contains(seen, "not configured") {
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
	if seen := p.push(); !regexp.MustCompile(`^m  [0-9a-f]{12}  1 ref changed  \d+\.\d\ds\n$`).MatchString(seen) {
		t.Errorf("the pusher sees\n%s", seen)
	}
	d.get("/m").expect(t, http.StatusOK, "X-Revision", repo.Git("rev-parse", "main"))
}

// TestHookKeepsSecrets: what goes through curl does not show in the process list, and
// arrives as it is.
func TestHookKeepsSecrets(t *testing.T) {
	repo := newOrigin(t)
	bin := t.TempDir()
	script := "#!/bin/sh\n{ echo \"$*\"; cat; } >" + bin + "/seen\n"
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
