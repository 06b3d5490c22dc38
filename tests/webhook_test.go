package tests

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// hookSecret is that of the hooks in tests.
const hookSecret = "the-secret-of-the-hook"

// hookLines are lines of a configuration for hooks of these forges.
func hookLines(t *testing.T, forges ...string) (lines []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, forge := range forges {
		lines = append(lines, "[[hook]]", fmt.Sprintf("forge = %q", forge), fmt.Sprintf("secret_file = %q", file))
	}
	return lines
}

// deliver sends a delivery that is signed as the forge does it. Pairs of header names and values may follow.
func (d *daemon) deliver(forge, body string, headers ...string) answer {
	d.t.Helper()
	mac := hmac.New(sha256.New, []byte(hookSecret))
	io.WriteString(mac, body)
	signature := hex.EncodeToString(mac.Sum(nil))
	signed := map[string][]string{
		"github": {"X-Hub-Signature-256", "sha256=" + signature}, "generic": {"X-Hub-Signature-256", "sha256=" + signature},
		"gitea": {"X-Gitea-Signature", signature}, "forgejo": {"X-Forgejo-Signature", signature},
		"bitbucket": {"X-Hub-Signature", "sha256=" + signature}, "gitlab": {"X-Gitlab-Token", hookSecret},
	}
	return d.do("POST", "/x/hook/"+forge, strings.NewReader(body), append(signed[forge], headers...)...)
}

// forgePush is a delivery that tells of a push, as a forge sends it. The repository is at host/path.
func forgePush(forge, host, path string) (body string, headers []string) {
	switch forge {
	case "gitlab":
		return fmt.Sprintf(`{"object_kind":"push","ref":"refs/heads/main","project":{"web_url":"https://%[1]s/%[2]s","git_ssh_url":"git@%[1]s:%[2]s.git",
			"git_http_url":"https://%[1]s/%[2]s.git"},"total_commits_count":1}`, host, path), []string{"X-Gitlab-Event", "Push Hook"}
	case "bitbucket":
		return fmt.Sprintf(`{"repository":{"full_name":%q,"links":{"html":{"href":"https://%s/%s"}}},"push":{"changes":[{"old":null}]}}`, path, host, path),
			[]string{"X-Event-Key", "repo:push"}
	case "generic":
		return fmt.Sprintf(`{"origin":"git@%s:%s"}`, host, path), nil
	default:
		header := map[string]string{"github": "X-GitHub-Event", "gitea": "X-Gitea-Event", "forgejo": "X-Forgejo-Event"}[forge]
		return fmt.Sprintf(`{"ref":"refs/heads/main","commits":[{"message":"\u00fc"}],"repository":{"full_name":%[2]q,"html_url":"https://%[1]s/%[2]s",
			"clone_url":"https://%[1]s/%[2]s.git","ssh_url":"git@%[1]s:%[2]s.git"}}`, host, path), []string{header, "push"}
	}
}

// acme is an origin behind smart HTTP, at the path acme/widgets.git of 127.0.0.1.
func acme(t *testing.T) (r *origin.Repo, server *origin.HTTP, url string) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "acme"), 0o755); err != nil {
		t.Fatal(err)
	}
	r = origin.New(t, filepath.Join(root, "acme", "widgets.git"))
	r.Commit("main", map[string]string{"file": "1"})
	server = origin.ServeHTTP(t, root)
	return r, server, server.URL + "/acme/widgets.git"
}

// TestWebhooks: whatever forge tells of a push, and by whatever URLs, master and slave have it. No token is
// needed beside the signature.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	r, _, url := acme(t)
	forges := []string{"github", "gitlab", "gitea", "forgejo", "bitbucket", "generic"}
	slave := start(t, fmt.Sprintf("token = %q", token))
	d := start(t, append([]string{"master = true", slaves(slave.url), fmt.Sprintf("token = %q", token)}, hookLines(t, forges...)...)...)
	d.postAs(bearer(token), "my/widgets", url).expect(t, 200)
	d.postAs(bearer(token), "my/copy", strings.TrimSuffix(url, ".git")).expect(t, 200)
	for i, forge := range forges {
		tip := r.Commit("main", map[string]string{"file": forge})
		body, headers := forgePush(forge, "127.0.0.1", "acme/widgets")
		d.deliver(forge, body, headers...).expect(t, 202).contains(t, "my/widgets: a pull has begun", "my/copy: a pull has begun")
		for _, server := range []*daemon{d, slave} {
			for _, name := range []string{"my/widgets", "my/copy"} {
				eventually(t, "what "+forge+" told is on all servers", func() bool { return strings.Contains(refs(t, server.mirror(name)), tip) })
			}
		}
		if n := d.metrics()[fmt.Sprintf(`sould_webhook_deliveries_total{hook=%q,result="accepted"}`, forge)]; n != 1 {
			t.Errorf("%d: %v deliveries of %s are counted", i, n, forge)
		}
	}
	d.get("/x/why/my/widgets").contains(t, "by the webhook generic")
	r.Git("branch", "old")
	r.Git("branch", "-D", "old")
	d.deliver("github", fmt.Sprintf(`{"ref":"refs/heads/old","deleted":true,"repository":{"clone_url":%q}}`, url), "X-GitHub-Event", "push", "Accept", "application/json").
		expect(t, 202, "Content-Type", "application/json").contains(t, `"mirrors":[{"name":"my/copy","action":"pull"`)
	if strings.Contains(d.log.String(), hookSecret) {
		t.Error("the log tells the secret")
	}
}

// TestWebhooksAreRefused: who looks at the forge's list of deliveries sees what is wrong.
func TestWebhooksAreRefused(t *testing.T) {
	t.Parallel()
	_, _, url := acme(t)
	d := start(t, append(hookLines(t, "github", "gitlab", "generic"), "[[hook]]", `forge = "github"`, `name = "other"`,
		fmt.Sprintf("secret_file = %q", secretFile(t, "another-secret-of-a-hook")))...)
	d.pulled("m", url)
	body, push := forgePush("github", "127.0.0.1", "acme/widgets")
	d.do("POST", "/x/hook/github", strings.NewReader(body), push...).expect(t, 401, "WWW-Authenticate", "Signature").contains(t, "not signed")
	d.do("POST", "/x/hook/github", strings.NewReader(body), append(push, "X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64))...).expect(t, 401)
	d.do("POST", "/x/hook/gitlab", strings.NewReader("{}"), "X-Gitlab-Token", "guessed").expect(t, 401)
	d.do("POST", "/x/hook/unknown", strings.NewReader(body)).expect(t, 404).contains(t, "no hook unknown")
	d.get("/x/hook/github").expect(t, 405, "Allow", "POST")
	d.deliver("github", "<html>", push...).expect(t, 400).contains(t, "not JSON")
	d.deliver("github", `{"repository":{}}`, push...).expect(t, 400).contains(t, "names no URL")
	d.deliver("github", body, "X-GitHub-Event", "issues").expect(t, 422).contains(t, "the event issues changes no mirror")
	d.deliver("generic", `{"origin":"https://other.example/acme/widgets"}`).expect(t, 404).contains(t, "no mirror here follows", "create = true")
	d.deliver("github", `{"zen":"x"}`, "X-GitHub-Event", "ping").expect(t, 200).contains(t, "deliveries arrive")
	d.deliver("github", strings.Replace(body, `"ref"`, `"action":"archived","ref"`, 1), "X-GitHub-Event", "repository").expect(t, 202).contains(t, "nothing to do")
	d.deliver("github", body+strings.Repeat(" ", 25<<20), push...).expect(t, 413)
	d.logged("INFO pulled", 1) // by the POST
	large := strings.Replace(body, `"ref"`, `"filler":"`+strings.Repeat("x", 24<<20)+`","ref"`, 1)
	d.deliver("github", large, push...).expect(t, 202)
	counted := d.metrics()
	for result, want := range map[string]float64{"refused": 2, "unusable": 4, "ignored": 2, "accepted": 1} {
		if got := counted[fmt.Sprintf(`sould_webhook_deliveries_total{hook="github",result=%q}`, result)]; got != want {
			t.Errorf("%v deliveries are counted as %s, want %v", got, result, want)
		}
	}
}

func secretFile(t *testing.T, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestWebhookAgain: a delivery that comes again is answered as the first time, and begins nothing. One that
// could not be carried out is tried again.
func TestWebhookAgain(t *testing.T) {
	t.Parallel()
	r, _, url := acme(t)
	d := start(t, hookLines(t, "github")...)
	body, headers := forgePush("github", "127.0.0.1", "acme/widgets")
	headers = append(headers, "X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	d.deliver("github", body, headers...).expect(t, 404)
	d.pulled("m", url)
	tip := r.Commit("main", map[string]string{"file": "2"})
	first := d.deliver("github", body, headers...).expect(t, 202)
	eventually(t, "the pull", func() bool { return strings.Contains(refs(t, d.mirror("m")), tip) })
	later := r.Commit("main", map[string]string{"file": "3"})
	if again := d.deliver("github", body, headers...).expect(t, 202); again.text() != first.text() {
		t.Errorf("first\n%sthen\n%s", first.text(), again.text())
	}
	d.logged("result=repeated", 1)
	headers[len(headers)-1] = "72d3162e-cc78-11e3-81ab-4c9367dc0959"
	d.deliver("github", body, headers...).expect(t, 202)
	eventually(t, "the pull of another delivery", func() bool { return strings.Contains(refs(t, d.mirror("m")), later) })
	d.logged("INFO pulled", 3)
}

// TestWebhookOfARename: the mirror keeps its name, on all servers, and follows the repository. It never
// follows to another host.
func TestWebhookOfARename(t *testing.T) {
	t.Parallel()
	r, server, url := acme(t)
	slave := start(t)
	d := start(t, append([]string{"master = true", slaves(slave.url)}, hookLines(t, "github", "generic")...)...)
	d.pulled("m", url)
	tip := r.Commit("main", map[string]string{"file": "2"})
	if err := os.Rename(r.Dir, filepath.Join(filepath.Dir(r.Dir), "gears.git")); err != nil {
		t.Fatal(err)
	}
	d.deliver("generic", `{"event":"rename","origin":"https://localhost/acme/gears","former":"https://127.0.0.1/acme/widgets"}`).expect(t, 404)
	d.deliver("github", `{"action":"renamed","changes":{"repository":{"name":{"from":"widgets"}}},"repository":{"full_name":"acme/gears","ssh_url":"git@127.0.0.1:acme/gears.git"}}`,
		"X-GitHub-Event", "repository").expect(t, 202).contains(t, "m: follows "+server.URL+"/acme/gears.git from now on")
	for _, one := range []*daemon{d, slave} {
		eventually(t, "the mirror follows", func() bool { return strings.Contains(refs(t, one.mirror("m")), tip) })
		eventually(t, "its origin is told", func() bool { return one.status("").Mirrors[0].Origin == server.URL+"/acme/gears.git" })
	}
}

// TestWebhookWhileAPullRuns: no forge sends again what was refused only because something ran. So what it tells
// is done when that has ended, be that a first pull, a pull of the repository under its former name, or a move.
func TestWebhookWhileAPullRuns(t *testing.T) {
	t.Parallel()
	r, server, url := acme(t)
	d := start(t, hookLines(t, "github")...)
	var slow atomic.Bool
	listed, goOn := make(chan bool, 1), make(chan bool, 1)
	server.Be(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if r.Method == "GET" || !slow.CompareAndSwap(true, false) {
			git.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder() // the refs as they are now
		git.ServeHTTP(answer, r)
		listed <- true
		select {
		case <-goOn:
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		_, _ = w.Write(answer.Body.Bytes())
	})
	pushed := func(content, name string) (tip string) {
		t.Helper()
		tip = r.Commit("main", map[string]string{"file": content})
		body, headers := forgePush("github", "127.0.0.1", "acme/"+name)
		d.deliver("github", body, headers...).expect(t, 202).contains(t, "m: a pull has begun")
		return tip
	}
	arrives := func(tip string) {
		t.Helper()
		eventually(t, "the push is here", func() bool { all := d.status("").Mirrors; return len(all) == 1 && all[0].Revision == tip })
	}
	slow.Store(true)
	d.post("m", url, "wait", "1ms").expect(t, 202)
	<-listed
	tip := pushed("during the first pull", "widgets")
	goOn <- true
	arrives(tip)

	slow.Store(true)
	pushed("before the rename", "widgets")
	<-listed
	former := r.Dir
	r.Dir = filepath.Join(filepath.Dir(former), "gears.git")
	if err := os.Rename(former, r.Dir); err != nil {
		t.Fatal(err)
	}
	d.deliver("github", `{"action":"renamed","changes":{"repository":{"name":{"from":"widgets"}}},"repository":{"full_name":"acme/gears","ssh_url":"git@127.0.0.1:acme/gears.git"}}`,
		"X-GitHub-Event", "repository").expect(t, 202).contains(t, "m: follows "+server.URL+"/acme/gears.git from now on")
	pushed("before the move", "gears")
	goOn <- true
	eventually(t, "the mirror follows", func() bool { return d.status("").Mirrors[0].Origin == server.URL+"/acme/gears.git" })
	arrives(pushed("after the move", "gears"))
}

// TestWebhookOfADeletion: a mirror outlives its origin. Status, explanation, page and log say what has
// happened, until the origin is there again.
func TestWebhookOfADeletion(t *testing.T) {
	t.Parallel()
	_, _, url := acme(t)
	d := start(t, hookLines(t, "github")...)
	d.pulled("m", url)
	body := fmt.Sprintf(`{"action":"deleted","repository":{"clone_url":%q}}`, url)
	d.deliver("github", body, "X-GitHub-Event", "repository").expect(t, 202).contains(t, "m: is kept")
	d.wait("WARN the origin of a mirror was deleted, and the mirror is kept mirror=m")
	d.get("/x/status?format=json").contains(t, `"gone":`, `"gone_by":"the webhook github"`)
	d.get("/x/why/m").expect(t, 200).contains(t, "its origin was deleted on", "as the webhook github says")
	d.get("/x/mirror/m").expect(t, 200).contains(t, "its origin was deleted on")
	d.get("/m").expect(t, 200, "X-State", "success")
	d.pulled("m", url)
	if text := d.get("/x/why/m").text() + d.get("/x/status?format=json").text(); strings.Contains(text, "deleted on") || strings.Contains(text, "gone") {
		t.Errorf("the origin is there again:\n%s", text)
	}
}

// TestWebhookSecretIsReadAgain: a reload reads the files of secrets, and takes hooks away.
func TestWebhookSecretIsReadAgain(t *testing.T) {
	t.Parallel()
	file := secretFile(t, "the-former-secret-of-it")
	lines := []string{"[[hook]]", `forge = "github"`, fmt.Sprintf("secret_file = %q", file)}
	d := start(t, lines...)
	d.deliver("github", `{"zen":"x"}`, "X-GitHub-Event", "ping").expect(t, 401)
	if err := errors.Join(os.WriteFile(file, []byte(hookSecret), 0), os.Chmod(file, 0o644)); err != nil {
		t.Fatal(err)
	}
	d.reload(lines...)
	d.deliver("github", `{"zen":"x"}`, "X-GitHub-Event", "ping").expect(t, 200)
	if d.warnings(file+" holds a secret") != 1 {
		t.Errorf("no warning of a secret that everybody can read:\n%s", d.log)
	}
	d.reload()
	d.deliver("github", `{"zen":"x"}`, "X-GitHub-Event", "ping").expect(t, 404)
}

// TestWebhookOfAProgram runs what the page shows of a program of one's own.
func TestWebhookOfAProgram(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl on this machine")
	}
	r, _, url := acme(t)
	file := secretFile(t, hookSecret)
	d := start(t, "[[hook]]", `forge = "generic"`, fmt.Sprintf("secret_file = %q", file))
	d.pulled("jack/configs", url)
	tip := r.Commit("main", map[string]string{"file": "2"})
	g := follow(t, "webhooks.md", "https://git.in.local/jack/configs.git", url, "/etc/sould/webhook.secret", file, "https://master.sould.local", d.url)
	g.do(len(g.steps))
	g.end()
	eventually(t, "the pull", func() bool { return strings.Contains(refs(t, d.mirror("jack/configs")), tip) })
}

// TestWebhookMakesAMirror: with create = true a repository without a mirror gets one on all servers, which
// is nobody's on demand. One that a read has made stays a server's own.
func TestWebhookMakesAMirror(t *testing.T) {
	t.Parallel()
	r, server, _ := acme(t)
	demand := []string{"[[ondemand]]", `prefix = "git"`, fmt.Sprintf("origin = %q", server.URL+"/{path}")}
	slave := start(t, demand...)
	d := start(t, slices.Concat([]string{"master = true", slaves(slave.url)}, hookLines(t, "github"), []string{"create = true"}, demand)...)
	body, headers := forgePush("github", "127.0.0.1", "acme/widgets")
	deleted := append(slices.Clone(headers), "X-GitHub-Event", "repository")
	d.deliver("github", strings.Replace(body, `"ref"`, `"action":"deleted","ref"`, 1), deleted...).expect(t, 404)
	other, _ := forgePush("github", "other.example", "acme/widgets")
	d.deliver("github", other, headers...).expect(t, 404).contains(t, "no [[ondemand]] prefix is for it")
	d.deliver("github", body, headers...).expect(t, 202).contains(t, "git/acme/widgets: is being made from "+server.URL+"/acme/widgets")
	for _, one := range []*daemon{d, slave} {
		eventually(t, "the mirror is there", func() bool { return len(one.status("").Mirrors) == 1 && one.status("").Mirrors[0].State == "success" })
	}
	if text := d.get("/x/status?format=json").text() + slave.get("/x/status?format=json").text(); strings.Contains(text, "on_demand") {
		t.Errorf("it was made on demand:\n%s", text)
	}

	gears := origin.New(t, filepath.Join(filepath.Dir(r.Dir), "gears.git"))
	gears.Commit("main", map[string]string{"file": "1"})
	d.get("/git/acme/gears").expect(t, 200)
	tip := gears.Commit("main", map[string]string{"file": "2"})
	body, headers = forgePush("github", "127.0.0.1", "acme/gears")
	d.deliver("github", body, headers...).expect(t, 202).contains(t, "git/acme/gears: a pull has begun")
	eventually(t, "the pull", func() bool { return strings.Contains(refs(t, d.mirror("git/acme/gears")), tip) })
	d.get("/x/status?format=json&name=git/acme/gears").contains(t, `"on_demand":true`)
	if n := slave.status("").Total; n != 1 {
		t.Errorf("the slave has %d mirrors", n)
	}
}

// TestWebhookOfWhatAReadHasMade: a delivery means for a mirror that a read has made what it means for others. A
// pull that has begun before it does not count, and a host that wants to be left alone is asked.
func TestWebhookOfWhatAReadHasMade(t *testing.T) {
	t.Parallel()
	r, server, _ := acme(t)
	d := start(t, slices.Concat([]string{`patience = "1ms"`}, hookLines(t, "github"),
		[]string{"[[ondemand]]", `prefix = "git"`, fmt.Sprintf("origin = %q", server.URL+"/{path}"), `max_age = "1h"`})...)
	pushed := func(what string, let func()) {
		t.Helper()
		tip := r.Commit("main", map[string]string{"file": what})
		body, headers := forgePush("github", "127.0.0.1", "acme/widgets")
		d.deliver("github", body, headers...).expect(t, 202)
		let()
		eventually(t, what, func() bool { return strings.Contains(refs(t, d.mirror("git/acme/widgets")), tip) })
	}
	d.get("/git/acme/widgets").expect(t, 200)

	var busy atomic.Bool
	listed, goOn := make(chan bool, 10), make(chan struct{})
	server.Be(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		before := httptest.NewRecorder()
		git.ServeHTTP(before, r)
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			listed <- true
			<-goOn
		}
		if busy.Load() {
			w.Header().Set("Retry-After", "3000")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.Header().Set("Content-Type", before.Header().Get("Content-Type"))
		_, _ = w.Write(before.Body.Bytes())
	})
	d.get("/git/acme/widgets", "Cache-Control", "no-cache").expect(t, 200)
	<-listed
	pushed("what came while a pull ran", func() { close(goOn) })

	busy.Store(true)
	d.get("/git/acme/other").expect(t, 502)
	d.wait("WARN a host of origins asks to be left alone")
	busy.Store(false)
	pushed("what came while the host wanted to be left alone", func() {})
	d.get("/x/why/git/acme/widgets").contains(t, "by the webhook github", "It is this server's own")
	d.get("/x/status?format=json&name=git/acme/widgets").contains(t, `"on_demand":true`)

	renamed := `{"action":"renamed","repository":{"full_name":"acme/gone","clone_url":%q},"changes":{"repository":{"name":{"from":"widgets"}}}}`
	d.deliver("github", fmt.Sprintf(renamed, server.URL+"/acme/gone"), "X-GitHub-Event", "repository").expect(t, 202)
	d.wait("ERROR can't pull mirror=git/acme/widgets")
}
