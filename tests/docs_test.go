package tests

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// blocks are what a page below docs/ shows in that language, in its order.
func blocks(t *testing.T, page, language string) (all []string) {
	t.Helper()
	fences := regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	for _, block := range fences.FindAllStringSubmatch(pageText(t, page), -1) {
		if block[1] == language {
			all = append(all, block[2])
		}
	}
	if len(all) == 0 {
		t.Fatalf("docs/%s shows no %s", page, language)
	}
	return all
}

func pageText(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// adapt replaces what a page writes by what stands for it in a test, pair by pair. All of it must be
// there.
func adapt(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("there is no %q in\n%s", pairs[i], text)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// guided is somebody who does in a shell what a page says, in a directory of its own that is the home
// directory, too.
type guided struct {
	t     *testing.T
	page  string
	dir   string
	pairs []string // what stands in the test for words of the page, see adapt
	steps []string // the blocks of sh that are not done yet
	saw   strings.Builder
}

// follow opens a page.
func follow(t *testing.T, page string, pairs ...string) *guided {
	t.Helper()
	for _, program := range []string{"bash", "curl", "tar"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s on this machine", program)
		}
	}
	hook, err := filepath.Abs("../contrib/post-receive")
	if err != nil {
		t.Fatal(err)
	}
	adapt(t, pageText(t, page), pairs...)
	return &guided{t: t, page: page, dir: t.TempDir(), steps: blocks(t, page, "sh"), pairs: append(pairs, "/usr/bin/sould-hook", hook)}
}

// do does what the next n blocks say, in one shell. All commands must succeed.
func (g *guided) do(n int) {
	g.t.Helper()
	script := strings.NewReplacer(g.pairs...).Replace(strings.Join(g.steps[:n], ""))
	g.steps = g.steps[n:]
	cmd := exec.Command("bash", "-e", "-c", "set -m 2>/dev/null\n"+script+"\nwait\n")
	cmd.Dir = g.dir
	cmd.Env = append(slices.DeleteFunc(environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }), "HOME="+g.dir,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=T", "GIT_AUTHOR_EMAIL=t@example.org", "GIT_COMMITTER_NAME=T", "GIT_COMMITTER_EMAIL=t@example.org")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has started and not ended
		g.t.Fatalf("docs/%s: %v\n%s\n%s", g.page, err, script, out)
	}
	g.saw.Write(out)
}

// end checks that all blocks were done, and that the lines which the page shows without a language were
// among what was printed, but for ids and times, and for lines with "…".
func (g *guided) end() {
	g.t.Helper()
	if len(g.steps) > 0 {
		g.t.Errorf("docs/%s says more than the test does: %q", g.page, g.steps)
	}
	printed := make(map[string]bool)
	for line := range strings.Lines(g.saw.String()) {
		printed[plain(line)] = true
	}
	for _, shown := range blocks(g.t, g.page, "") {
		for line := range strings.Lines(strings.NewReplacer(g.pairs...).Replace(shown)) {
			if !strings.Contains(line, "…") && !printed[plain(line)] {
				g.t.Errorf("docs/%s shows the line\n%sand this was printed:\n%s", g.page, line, &g.saw)
			}
		}
	}
}

// volatile are those parts of a line that differ from run to run.
var volatile = regexp.MustCompile(`[0-9a-f]{40,}|\b[0-9a-f]{12}\b|\d+\.\d\ds\b|20\d\d-\d\d-\d\d[T ][0-9:.]+(Z| UTC)?|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20\d\d [0-9:]+ GMT|\b[A-Z2-7]{26}\b`)

// plain is a line without what differs from run to run, and without what a git client puts before and
// behind the words of a hook.
func plain(line string) string {
	line = strings.TrimSpace(volatile.ReplaceAllString(strings.ReplaceAll(line, "\x1b[K", ""), "*"))
	return strings.Join(strings.Fields(line), " ")
}

// TestConfigurationsOfPages has sould check the configurations that pages show.
func TestConfigurationsOfPages(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	_, serial := authority.issue()
	cert := filepath.Join(authority.dir, fmt.Sprint(serial))
	for name, text := range map[string]string{"token": token, "read-token": readToken, "notify": notifySecret} {
		write(t, filepath.Join(authority.dir, "sould."+name), text+"\n")
	}
	contrib, err := filepath.Abs("../contrib")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"security.md", "credentials.md", "three-servers.md", "on-demand.md", "webhooks.md", "poll.md", "notify.md", "discovery.md", "../README.md"} {
		for _, text := range blocks(t, page, "toml") {
			text = strings.NewReplacer("/etc/sould.", authority.dir+"/sould.", "/etc/sould/cert", cert, "/etc/sould/key.pem", cert+".key",
				"/etc/sould/ca.pem", authority.file, "/etc/sould/webhook.secret", secretFile(t, hookSecret), "/usr/lib/sould/", contrib+"/").Replace(text)
			if strings.HasPrefix(text, "peers") {
				text = "master = true\nslaves = [\"slave1.local\"]\n" + text
			}
			conf := filepath.Join(t.TempDir(), "sould.conf")
			write(t, conf, fmt.Sprintf("storage = %q\n", t.TempDir())+text) // a table may be the last
			cmd := exec.Command(binary, "--check", "-c", conf)
			cmd.Env = environ()
			if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "# warning") && strings.Contains(text, "token_file") {
				t.Errorf("docs/%s: %v\n%s\n%s", page, err, text, out)
			}
		}
	}
}

func TestFirstHour(t *testing.T) {
	t.Parallel()
	g := follow(t, "first-hour.md", "127.0.0.1:8080", "127.0.0.1:"+freePort(t))
	g.do(len(g.steps))
	g.end()
}

func TestThreeServers(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	pairs := []string{"https://git.in.local/jack/configs.git", r.Dir}
	names := []string{"master.local", "slave1.local", "slave2.local"}
	listen := make(map[string]string)
	for _, name := range names {
		listen[name] = "127.0.0.1:" + freePort(t)
		pairs = append(pairs, name, listen[name])
	}
	g := follow(t, "three-servers.md", pairs...)
	configurations := blocks(t, "three-servers.md", "toml")
	lines := func(n int, name string) []string { // of the page, for that server
		text := adapt(t, configurations[n], `":80"`, `"`+listen[name]+`"`)
		return append(strings.Split(strings.NewReplacer(pairs...).Replace(text), "\n"), `repair = "1s"`)
	}
	servers := make(map[string]*daemon)
	for i, name := range names {
		servers[name] = start(t, lines(min(i, 1), name)...)
	}
	g.do(2)
	slave1, slave2 := servers["slave1.local"], servers["slave2.local"]

	slave2.stop()
	tip := r.Commit("main", map[string]string{"file": "2"})
	g.do(1)
	slave2.run()
	eventually(t, "slave2 has what it missed", func() bool { return slave2.get("/jack/configs?ref="+tip).StatusCode == 200 })

	slave1.stop()
	for _, dir := range []string{r.Dir, slave1.storage} {
		if err := os.Rename(dir, dir+"-gone"); err != nil {
			t.Fatal(err)
		}
	}
	slave1.run()
	g.do(1)
	if err := os.Rename(r.Dir+"-gone", r.Dir); err != nil {
		t.Fatal(err)
	}

	servers["master.local"].kill()
	slave1.reload(lines(2, "slave1.local")...)
	g.do(1)
	if !strings.HasSuffix(g.saw.String(), "s\n") || strings.Count(g.saw.String(), listen["slave2.local"]+"  ") < 2 {
		t.Errorf("the new master answers\n%s", &g.saw)
	}
	g.end()
}

// TestClients reads from a mirror and pushes to its origin, by URLs of the origin alone.
func TestClients(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "jack", "configs.git"))
	r.Commit("main", map[string]string{"file": "1"})
	server := origin.ServeHTTP(t, root)
	d := start(t, fmt.Sprintf("read_token = %q", readToken))
	url := server.URL + "/jack/configs.git"
	d.pulled("jack/configs", url)
	g := follow(t, "clients.md", "http://sould.local", d.url, "https://git.in.local/", server.URL+"/")
	write(t, filepath.Join(g.dir, ".sould-credentials"), strings.Replace(d.url, "http://", "http://any:"+readToken+"@", 1)+"\n")
	write(t, filepath.Join(g.dir, ".gitconfig"), "[credential]\n\thelper = store --file="+filepath.Join(g.dir, ".sould-credentials")+"\n")
	var asked atomic.Int64
	server.Before(func(*http.Request) { asked.Add(1) })
	g.do(len(g.steps))
	g.end()
	if n := asked.Load(); n > 0 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// TestExamples runs what the README and the reference show of requests, each in a place of its own.
func TestExamples(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	tip := r.Commit("main", map[string]string{"file": "2"})
	r.Git("tag", "v1.2", "main")
	d := start(t, fmt.Sprintf("token = %q", token), "bundle_from = 1")
	for _, name := range []string{"my/dev/mirror", "my/configs"} {
		d.postAs(bearer(token), name, r.Dir).expect(t, 200)
	}
	secret := "Authorization: Bearer " + token
	for page, examples := range map[string]int{"../README.md": 5, "reference.md": 18} {
		g := follow(t, page, "https://git.in.local/jack/configs.git", r.Dir)
		g.pairs = append(g.pairs, "$COMMIT", tip, "https://git.in.local/team/configs.git", r.Dir, "https://master.sould.local", d.url,
			"http://master.sould.local", d.url, "http://sould.local", d.url, "http://slave2.local", d.url,
			"curl --silent --show-error \\", "curl --silent --show-error --header '"+secret+"' \\",
			"curl --no-buffer", "curl --no-buffer --header '"+secret+"'", "curl --silent --show-error --max-time", "curl --header '"+secret+"' --max-time")
		ran := 0
		for _, example := range blocks(t, page, "sh") {
			if !strings.Contains(example, ".local") {
				g.steps = g.steps[1:]
				continue
			}
			g.dir = t.TempDir()
			in(t, g.dir, "init", "--quiet")
			write(t, filepath.Join(g.dir, "sould.token"), token+"\n")
			g.do(1)
			ran++
			if strings.Contains(example, "DELETE") {
				d.postAs(bearer(token), "my/dev/mirror", r.Dir).expect(t, 200)
			}
		}
		if ran != examples {
			t.Errorf("docs/%s has %d examples of requests, and the test was written for %d", page, ran, examples)
		}
		if saw := g.saw.String(); !strings.Contains(saw, "unchanged") || strings.Contains(saw, "└─") && page != "reference.md" {
			t.Errorf("docs/%s: the examples print\n%s", page, saw)
		}
	}
}
