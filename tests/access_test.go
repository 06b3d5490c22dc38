package tests

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

const (
	token     = "the-token-of-the-cluster"
	readToken = "the-token-for-reading"
	stranger  = "the-token-of-somebody-else"
)

func bearer(token string) string { return "Bearer " + token }

func basic(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("any:"+password))
}

// postAs posts with a token.
func (d *daemon) postAs(authorization, name, origin string) answer {
	d.t.Helper()
	return d.do("POST", "/", form(name, origin), "Content-Type", formType, "Authorization", authorization)
}

// tellsNothing checks that these words are in no answer and no log.
func tellsNothing(t *testing.T, words []string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, w := range words {
			if strings.Contains(text, w) {
				t.Errorf("%q is in\n%s", w, text)
			}
		}
	}
}

func (d *daemon) warnings(about string) (n int) {
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, "WARN ") && strings.Contains(line, about) {
			n++
		}
	}
	return n
}

func TestTokens(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	slave := start(t, fmt.Sprintf("token = %q", token), fmt.Sprintf("read_token = %q", readToken))
	foreign := start(t, fmt.Sprintf("token = %q", stranger))
	d := start(t, "master = true", slaves(slave.url), fmt.Sprintf("token_file = %q", file))
	var said []string
	before := tree(t, d.storage)
	for _, authorization := range []string{"", "Bearer", bearer(stranger), bearer(token + "x"), bearer(token[:16]), basic(token), token} {
		a := d.postAs(authorization, "m", r.Dir).expect(t, 401, "WWW-Authenticate", "Bearer").contains(t, "token")
		said = append(said, a.text())
	}
	d.do("DELETE", "/m", nil).expect(t, 401, "WWW-Authenticate", "Bearer")
	d.do("DELETE", "/m", nil, "Authorization", bearer(stranger)).expect(t, 401, "WWW-Authenticate", "Bearer")
	if after := tree(t, d.storage); after != before {
		t.Errorf("the storage was\n%snow it is\n%s", before, after)
	}
	if strings.Contains(slave.log.String(), "mirror=m") || slave.get("/m", "Authorization", bearer(token)).StatusCode != 404 {
		t.Error("a refused request was propagated")
	}
	d.postAs(bearer(token), "m", r.Dir).expect(t, 200)
	d.wait(`WARN refused .* status=401`)
	d.get("/m").expect(t, 200) // no read_token
	d.do("PUT", "/m", nil).expect(t, 405)

	// Reading.
	revision := r.Git("rev-parse", "main")
	for _, path := range []string{"/m", "/none", "/m?ref=" + revision, "/m/info/refs?service=git-upload-pack", "/m.git/info/refs", "/x/status", "/x/status?name=m", "/x/"} {
		for _, authorization := range []string{"", basic(stranger), bearer(stranger)} {
			a := slave.get(path, "Authorization", authorization).expect(t, 401, "WWW-Authenticate", `Basic realm="sould"`)
			said = append(said, a.text())
		}
	}
	slave.do("HEAD", "/m", nil).expect(t, 401)
	slave.do("POST", "/m/git-upload-pack", nil).expect(t, 401, "WWW-Authenticate", `Basic realm="sould"`)
	for _, authorization := range []string{basic(readToken), bearer(readToken), basic(token), bearer(token)} {
		slave.get("/m?ref="+revision, "Authorization", authorization).
			expect(t, 200, "X-Revision", revision, "Cache-Control", "private, max-age=31536000, immutable")
	}
	slave.postAs(bearer(readToken), "m", r.Dir).expect(t, 401).contains(t, "for reading only")
	slave.get("/x/health").expect(t, 200)

	// A slave that has another token says so.
	d.reload("master = true", slaves(slave.url, foreign.url), fmt.Sprintf("token_file = %q", file))
	a := d.postAs(bearer(token), "m", r.Dir).expect(t, 502).contains(t, "it has another token than the server that asks it", "this is not the server's token", "pulled: master, "+strings.TrimPrefix(slave.url, "http://"))

	// The file is read anew.
	if err := os.WriteFile(file, []byte(stranger), 0o600); err != nil {
		t.Fatal(err)
	}
	d.reload("master = true", slaves(foreign.url), fmt.Sprintf("token_file = %q", file))
	d.postAs(bearer(token), "m", r.Dir).expect(t, 401)
	d.postAs(bearer(stranger), "m", r.Dir).expect(t, 200)
	said = append(said, a.text(), d.log.String(), slave.log.String(), foreign.log.String())
	tellsNothing(t, []string{token, readToken, stranger}, said...)
	if d.warnings(file+" holds a secret") != 1 || slave.warnings("holds a secret") != 1 || d.warnings("everybody") != 0 {
		t.Errorf("the warnings are\n%s%s", d.log, slave.log)
	}
}

// TestATokenThatComesBack: a slave that repeats what it was sent does not make the
// master show its token.
func TestATokenThatComesBack(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	echo := func(w http.ResponseWriter, q *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		got := q.Header.Get("Authorization")
		fmt.Fprintf(conn, "HTTP/1.1 500 \x1b[2JOops %s\r\nContent-Length: %d\r\n\r\n%s", got, len(got), got)
	}
	loud := newOldSould(t, echo)
	garbled := newOldSould(t, func(w http.ResponseWriter, q *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "%s\r\n\r\n", q.Header.Get("Authorization"))
	})
	var asked, elsewhere string
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { elsewhere = q.Header.Get("Authorization") }))
	t.Cleanup(target.Close)
	leading := newOldSould(t, func(w http.ResponseWriter, q *http.Request) {
		asked = q.Header.Get("Authorization")
		http.Redirect(w, q, target.URL, http.StatusTemporaryRedirect)
	})
	d := start(t, "master = true", slaves(loud.URL, leading.URL, garbled.URL), fmt.Sprintf("token = %q", token))
	a := d.postAs(bearer(token), "m", r.Dir).expect(t, 502).contains(t, "Oops Bearer ***", "not followed", "malformed HTTP")
	tellsNothing(t, []string{token, "\x1b"}, a.text(), d.log.String())
	if asked != bearer(token) || elsewhere != "" {
		t.Errorf("the slave was sent %q, and who it led to %q", asked, elsewhere)
	}
}

func TestWithoutATokenTheLogSaysSo(t *testing.T) {
	t.Parallel()
	with := fmt.Sprintf("token = %q", token)
	d := start(t)
	count := func(want int) {
		t.Helper()
		d.get("/none").expect(t, 404)
		if n := d.warnings("everybody who can reach the address of this server may command it"); n != want {
			t.Errorf("said %d times, want %d:\n%s", n, want, d.log)
		}
	}
	d.wait("WARN .*everybody")
	d.reload()
	count(1)
	d.reload(with)
	count(1)
	d.postAs("", "m", "/none").expect(t, 401) // at once
	d.reload()
	d.wait("(?s)WARN .*everybody.*WARN .*everybody")
	count(2)
	d.configure(`token = "short"`)
	d.signal(syscall.SIGHUP)
	d.wait("(?s)ERROR not reloaded.*too weak")
}

func TestAllowHosts(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t, `allow_hosts = ["sould.local", "127.0.0.1", "::1"]`)
	d.pulled("m", r.Dir)
	ask := func(method, path, host string) int {
		t.Helper()
		q, err := http.NewRequest(method, d.url+path, form("m", r.Dir))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", formType)
		q.Host = host
		answer, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Error(err)
		}
		return answer.StatusCode
	}
	for host, fine := range map[string]bool{
		"sould.local": true, "SOULD.local:1234": true, "[::1]:80": true, "127.0.0.1": true,
		"evil.example": false, "sould.local.evil.example": false, "localhost": false, "[::2]": false,
	} {
		for _, c := range []struct {
			method, path string
			want         int
		}{{"GET", "/m", 200}, {"GET", "/x/health", 200}, {"POST", "/", 200}, {"PUT", "/", 405}, {"GET", "/none", 404}} {
			want := c.want
			if !fine {
				want = 421
			}
			if got := ask(c.method, c.path, host); got != want {
				t.Errorf("%s %s at %s: %d, want %d", c.method, c.path, host, got, want)
			}
		}
	}
	d.reload()
	if got := ask("GET", "/m", "evil.example"); got != 200 {
		t.Errorf("without allow_hosts: %d", got)
	}
}

// TestPublicURL: links begin with what the configuration says, and else with what the client says.
func TestPublicURL(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	const public = "https://sould.local:8443"
	key := `public_url = "` + public + `/"`
	d := start(t, key)
	d.pulled("a/m", r.Dir)
	links := func(base string) {
		t.Helper()
		d.post("a/none", r.Dir+"/none").expect(t, 500).contains(t, "\nwhy: "+base+"/x/why/a/none\n")
		d.post("a/m", r.Dir+"/other").expect(t, 409).contains(t, base+"/x/why/a/m")
		d.get("/x/why/a/unknown", "X-Forwarded-Proto", "https").expect(t, 404).contains(t, "send a POST: curl --data-urlencode name=a/unknown ", " "+base+"\n")
		d.get("/x/mirror/a/m", "Accept", "text/html").expect(t, 200).contains(t, base+"/a/m", `href="`+base+`/x/why/a/m"`)
	}
	links(public)
	d.reload()
	links(d.url)
	d.reload(key)
	links(public)
	d.configure(`public_url = "https://user:secret@sould.local"`)
	d.signal(syscall.SIGHUP)
	d.wait("(?s)ERROR not reloaded.*: public_url\n.*no user and password")
	links(public)
	if strings.Contains(d.log.String(), "secret") {
		t.Error("the log has the password")
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "team", "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	origin.New(t, filepath.Join(root, "r.git")).Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, server.URL+q.URL.RequestURI(), http.StatusFound)
	}))
	t.Cleanup(redirecting.Close)
	witness := newOldSould(t, text(200, ""))
	master := []string{"master = true", slaves(witness.URL)}

	// Without restrictions the first redirect is followed.
	d := start(t, master...)
	d.pulled("by/redirect", redirecting.URL+"/team/r.git")
	d.pulled("by/root", server.URL+"/r.git")
	d.pulled("local", r.Dir)

	d.reload(append(master, fmt.Sprintf("origins = [%q, %q]", server.URL+"/team/", redirecting.URL))...)
	d.pulled("m", server.URL+"/team/r.git")
	lists, seen := server.Lists.Load(), len(witness.sent())
	d.post("new", redirecting.URL+"/team/r.git").expect(t, 500).contains(t, "302") // the slave says yes to anything
	d.post("by/redirect", redirecting.URL+"/team/r.git").expect(t, 500).contains(t, "302")
	if got := server.Lists.Load(); got != lists {
		t.Errorf("a redirect was followed %d times", got-lists)
	}
	if seen += 2; len(witness.sent()) != seen {
		t.Fatalf("the slave was asked %d times", len(witness.sent()))
	}

	// What is not allowed is not begun, and mirrors of it stay as they are.
	var said []string
	for name, u := range map[string]string{
		"a": server.URL + "/r.git", "by/root": server.URL + "/r.git", "b": server.URL + "/team/../r.git", "c": server.URL + "/team/%2e%2e/r.git",
		"d": strings.Replace(server.URL, "127.0.0.1", "127.0.0.1.evil.example", 1) + "/team/r.git", "local": r.Dir, "e": r.Dir,
		"f": "http://jack:s3cret-word@evil.example/team/r.git", "g": strings.Replace(server.URL, "http://", "http://s3cret-word@", 1) + "/r.git",
	} {
		said = append(said, d.post(name, u).expect(t, 403).contains(t, "origin").text())
	}
	for _, name := range []string{"by/root", "local"} {
		d.get("/"+name, "Cache-Control", "no-cache").expect(t, 200, "X-State", "success")
	}
	d.stop()
	d.run()
	for _, name := range []string{"by/root", "local"} {
		d.get("/"+name).expect(t, 200, "X-State", "success")
	}
	if server.Lists.Load() != lists || len(witness.sent()) != seen {
		t.Errorf("%d pulls, %d propagations", server.Lists.Load()-lists, len(witness.sent())-seen)
	}
	tellsNothing(t, []string{"s3cret", "jack"}, append(said, d.log.String())...)
	d.get("/m").expect(t, 200, "X-State", "success")
	if server.Lists.Load() == lists {
		t.Error("an allowed mirror is not pulled")
	}
}

// TestOriginsOfMirrorsFromElsewhere: what no POST has brought is not read from a forbidden
// origin either, neither what a peer offers nor what was copied in and is damaged.
func TestOriginsOfMirrorsFromElsewhere(t *testing.T) {
	t.Parallel()
	_, _, fine := served(t)
	_, forbidden, elsewhere := served(t)
	peer := start(t)
	peer.pulled("fine", fine)
	peer.pulled("forbidden", elsewhere)
	lists := forbidden.Lists.Load()
	d := prepare(t, peers(peer.url), `repair = "300ms"`, fmt.Sprintf("origins = [%q]", fine))
	if err := os.CopyFS(d.mirror("copied"), os.DirFS(peer.mirror("forbidden"))); err != nil {
		t.Fatal(err)
	}
	d.run()
	eventually(t, "what is allowed is there", func() bool { return d.get("/fine").StatusCode == 200 })
	d.wait(`can't repair every difference[^\n]*(\n +[^\n]*)*forbidden[^\n]*(\n +[^\n]*)*none of those that this server may mirror`)
	d.get("/forbidden").expect(t, 404)
	d.get("/copied", "Cache-Control", "no-cache").expect(t, 200)

	d.removePacks("copied")
	if origin.Command("clone", "--quiet", "--bare", d.url+"/copied", t.TempDir()).Run() == nil {
		t.Fatal("cloned what is not there")
	}
	d.wait(`can't pull mirror=copied [^\n]*(\n +[^\n]*)*served, but not updated`)
	if got := forbidden.Lists.Load(); got != lists {
		t.Errorf("the forbidden origin was asked %d times", got-lists)
	}
}

func TestHookBringsTheToken(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	r := newOrigin(t)
	d := start(t, fmt.Sprintf("token = %q", token))
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(token + "\n")
	p := newPusher(t, r, r.Dir, "sould.url", d.url, "sould.name", "m", "sould.origin", r.Dir, "sould.tokenFile", file)
	if seen := p.push(); !strings.Contains(seen, "1 ref changed") {
		t.Errorf("the pusher sees\n%s", seen)
	}
	write(stranger)
	if seen := p.push(); !strings.Contains(seen, "this is not the server's token") {
		t.Errorf("the pusher sees\n%s", seen)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if seen := p.push(); !strings.Contains(seen, "sould: not told: the file in sould.tokenFile cannot be read") {
		t.Errorf("the pusher sees\n%s", seen)
	}
}

func TestCheckMasksTokens(t *testing.T) {
	t.Parallel()
	d := prepare(t, fmt.Sprintf("token = %q", token), fmt.Sprintf("read_token = %q", readToken))
	cmd := exec.Command(binary, "--check", "-c", d.conf)
	cmd.Env = environ()
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "token = \"***\"  # "+d.conf+":") != 2 || !strings.Contains(string(out), "# warning: "+d.conf+" holds a secret") {
		t.Errorf("%v\n%s", err, out)
	}
	tellsNothing(t, []string{token, readToken}, string(out))
}
