package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// forge is a place with repositories <owner>/<name>.git, of which mirrors are made on demand.
type forge struct {
	*origin.HTTP
	t    *testing.T
	root string

	mu    sync.Mutex // guards asked
	asked map[string]int
}

func newForge(t *testing.T) *forge {
	t.Helper()
	f := &forge{t: t, root: t.TempDir(), asked: make(map[string]int)}
	f.HTTP = origin.ServeHTTP(t, f.root)
	f.watch(func(*http.Request) {})
	return f
}

// watch counts requests for lists of refs, and does more at the beginning of each.
func (f *forge) watch(more func(*http.Request)) {
	f.Before(func(r *http.Request) {
		if path, ok := strings.CutSuffix(r.URL.Path, "/info/refs"); ok {
			f.mu.Lock()
			f.asked[strings.Trim(path, "/")]++
			f.mu.Unlock()
		}
		more(r)
	})
}

// lists is how often the refs of a repository were asked for.
func (f *forge) lists(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[name+".git"]
}

// repo makes a repository.
func (f *forge) repo(name string) *origin.Repo {
	r := origin.New(f.t, filepath.Join(f.root, name+".git"))
	r.Commit("main", map[string]string{"file": "1"})
	return r
}

// table is the configuration that makes mirrors of the forge below forge/. Lines of the table may follow.
func (f *forge) table(lines ...string) string {
	return strings.Join(append([]string{"[[ondemand]]", `prefix = "forge/"`, fmt.Sprintf("origin = %q", f.URL+"/{path}.git")}, lines...), "\n")
}

// made checks that a mirror is there, or is in the making (who lists its refs does not wait for
// more), and whether a read has made it.
func (d *daemon) made(name, origin string, onDemand bool) {
	d.t.Helper()
	eventually(d.t, "the mirror "+name+" is there", func() bool { return exists(d.mirror(name)) })
	a := d.get("/x/status?format=json&name="+name).expect(d.t, 200)
	if !strings.Contains(a.text(), fmt.Sprintf("%q", origin)) || strings.Contains(a.text(), `"on_demand":true`) != onDemand {
		d.t.Errorf("%s is not as it should be (origin %s, on demand %v):\n%s", name, origin, onDemand, a.text())
	}
}

func TestFirstReads(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	d := start(t, fmt.Sprintf("token = %q", token), f.table())
	for i, read := range []func(name string){
		func(name string) { d.clone("0", name) },
		func(name string) { d.clone("1", name+".git") },
		func(name string) { d.clone("2", name) },
		func(name string) {
			if out, err := gitClient("2", "ls-remote", "--exit-code", d.url+"/"+name, "main"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		},
		func(name string) { d.get("/"+name+".git").expect(t, 200, "X-State", "success") },
		func(name string) { d.get("/"+name+"?format=zip&ref=main").expect(t, 200, "X-State", "success") },
		func(name string) { d.do("HEAD", "/"+name, nil).expect(t, 200) },
	} {
		name := fmt.Sprintf("acme/r%d", i)
		f.repo(name)
		d.get("/x/status?name=forge/"+name).expect(t, 404)
		d.get("/x/why/forge/" + name)
		read("forge/" + name)
		d.made("forge/"+name, f.URL+"/"+name+".git", true)
		if n := f.lists(name); n > 2 { // ours, and that of git's transfer
			t.Errorf("%d lists for read %d", n, i)
		}
	}
	d.fsck("forge/acme/r0")
	if entries, _ := filepath.Glob(d.mirror("forge/acme/*.git")); len(entries) > 0 {
		t.Errorf("there are mirrors with .git: %q", entries)
	}
	d.get("/x/why/forge/acme/r0").expect(t, 200).contains(t, "read by 127.0.0.1 has made it", "next read after")

	// A POST without origin takes that of the table, and makes it everybody's.
	post := func(name string) answer {
		return d.do("POST", "/", strings.NewReader("name="+name), "Content-Type", formType, "Authorization", bearer(token))
	}
	post("forge/acme/r0").expect(t, 200)
	d.made("forge/acme/r0", f.URL+"/acme/r0.git", false)
	f.repo("acme/posted")
	post("forge/acme/posted.git").expect(t, 200)
	d.made("forge/acme/posted", f.URL+"/acme/posted.git", false)
	post("elsewhere/x").expect(t, 400).contains(t, "the body of the POST lacks origin")
	d.get("/elsewhere/x").expect(t, 404)

	// A DELETE ends it, until the next read.
	d.do("DELETE", "/forge/acme/r1", nil, "Authorization", bearer(token)).expect(t, 200)
	d.get("/forge/acme/r1").expect(t, 200)
	d.made("forge/acme/r1", f.URL+"/acme/r1.git", true)
}

// TestFirstReadsThatFail: what is not there is a 404, and the origin is not asked again at once.
func TestFirstReadsThatFail(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.repo("acme/there")
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!DOCTYPE html><form>Sign in</form>")
	}))
	t.Cleanup(login.Close)
	private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Www-Authenticate", "Basic")
		w.WriteHeader(401)
	}))
	t.Cleanup(private.Close)
	down := "http://127.0.0.1:" + freePort(t)
	more := fmt.Sprintf("\n[[ondemand]]\nprefix = 'login'\norigin = '%s/{path}'\n[[ondemand]]\nprefix = 'down'\norigin = '%s/{path}'\n[[ondemand]]\nprefix = 'private'\norigin = '%s/{path}'", login.URL, down, private.URL)
	d := start(t, `retry = "1h"`, f.table()+more)

	for range 2 {
		d.get("/forge/acme/none").expect(t, 404).contains(t, "there is no such mirror, and none can be made", "there is no repository")
		if out, err := gitClient("2", "clone", d.url+"/forge/acme/none", t.TempDir()); err == nil || !strings.Contains(out, "not found") {
			t.Errorf("a clone of what is not there: %v\n%s", err, out)
		}
	}
	if n := f.lists("acme/none"); n > 2 { // version 0, and 2 in case that it speaks nothing else
		t.Errorf("the origin was asked %d times for what it does not have", n)
	}
	d.get("/login/acme/x").expect(t, 404)
	if a := d.get("/private/acme/x").expect(t, 404).contains(t, "there is no repository at "+private.URL+"/acme/x, or none that this server may read"); strings.Contains(a.text(), "POST") {
		t.Errorf("a reader is told what an operator can do:\n%s", a.text())
	}
	d.wait("INFO not made: .*POST again with user:password")
	d.get("/down/acme/x").expect(t, 502, "Retry-After", "3600").contains(t, "can't be made now", "Failed to connect")
	d.get("/down/acme/x").expect(t, 502)
	d.logged("can't pull mirror=down/acme/x", 1)

	// A name inside a mirror is told without the origin.
	d.get("/forge/acme/there").expect(t, 200)
	d.get("/forge/acme/there/inside").expect(t, 404).contains(t, "lies inside the mirror forge/acme/there")
	if n := f.lists("acme/there/inside"); n != 0 {
		t.Errorf("the origin was asked %d times for what is inside a mirror", n)
	}
	for _, path := range []string{"/forge/..%2f..%2fetc", "/forge/a%2F..%2F..%2Fb", "/forge//x", "/forge/a%40b:c", "/forge/%2e%2e/x"} {
		if a := d.get(path); a.StatusCode != 400 && a.StatusCode != 404 {
			t.Errorf("%s: %s", path, a.Status)
		}
	}
	d.get("/forge/jack@evil.example/x").expect(t, 404)
	if n := f.lists("jack@evil.example/x"); n == 0 {
		t.Error("a name with an @ is not asked for at the table's origin")
	}

	// Another server's question makes nothing. A reload forgets, and a table that is gone makes nothing.
	f.repo("acme/new")
	d.get("/forge/acme/new/info/refs?service=git-upload-pack", "Sould-Peer", "x").expect(t, 404)
	if n := f.lists("acme/new"); n != 0 {
		t.Errorf("the origin was asked %d times for another server", n)
	}
	f.repo("acme/none")
	d.get("/forge/acme/none").expect(t, 404)
	d.reload(f.table())
	d.get("/forge/acme/none").expect(t, 200)
	d.reload()
	d.get("/forge/acme/none").expect(t, 200)
	f.repo("acme/later")
	d.get("/forge/acme/later").expect(t, 404)
	if n := f.lists("acme/later"); n != 0 {
		t.Errorf("the origin was asked %d times without a table", n)
	}
	d.reload(f.table(), "")
	d.reload(`origins = ["`+strings.TrimPrefix(f.URL, "http://")+`", "elsewhere.example"]`, f.table())
	d.get("/forge/acme/later").expect(t, 200)
	d.reload(`origins = ["`+f.URL+`/jack/"]`, f.table())
	d.get("/forge/acme/other").expect(t, 403).contains(t, "origins")
}

// TestFirstReadsShareARun: and it goes on when they leave. Who waits too long is told to come again.
func TestFirstReadsShareARun(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.repo("acme/x")
	arrived, held := make(chan bool, 100), newHold(t)
	f.watch(func(*http.Request) { arrived <- true; held.wait() })
	d := start(t, f.table())
	ctx, leave := withCancel(t)
	left := make(chan error, 1)
	go func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/forge/acme/x", nil)
		if err == nil {
			_, err = client.Do(r)
		}
		left <- err
	}()
	<-arrived
	leave()
	<-left
	var readers sync.WaitGroup
	for i := range 20 {
		readers.Go(func() {
			if i%4 == 0 {
				d.clone("2", "forge/acme/x.git")
			} else if a, err := d.try("GET", "/forge/acme/x", nil); err != nil || a.StatusCode != 200 {
				t.Errorf("a reader gets %v, %v", a, err)
			}
		})
	}
	d.get("/x/why/forge/acme/x").expect(t, 200).contains(t, "is being made")
	held.release()
	readers.Wait()
	if n := f.lists("acme/x"); n > 2 {
		t.Errorf("%d lists for 21 readers", n)
	}
	if n := f.Fetches.Load(); n > 2 {
		t.Errorf("%d requests for objects", n)
	}
}

func TestFirstPatience(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.repo("acme/x")
	held := newHold(t)
	f.watch(func(*http.Request) { held.wait() })
	d := start(t, f.table(`first_patience = "50ms"`))
	d.get("/forge/acme/x").expect(t, 503, "Retry-After", "1").contains(t, "is being made", "first_patience")
	held.release()
	eventually(t, "the mirror is there", func() bool { return d.get("/forge/acme/x").StatusCode == 200 })
	if n := f.lists("acme/x"); n > 2 {
		t.Errorf("%d lists", n)
	}
}

// TestManyFirstReads: a thousand names at once are refused or served, and somebody else gets his turn
// meanwhile.
func TestManyFirstReads(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.repo("acme/x")
	held := newHold(t)
	var now, most atomic.Int64
	arrived := make(chan bool, 10_000)
	f.watch(func(r *http.Request) {
		if strings.Contains(r.URL.Path, "/none") {
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			arrived <- true
			held.wait()
		}
	})
	d := start(t, "max_fetches = 2", f.table())
	many := &http.Client{Timeout: 2 * time.Minute}
	var readers sync.WaitGroup
	var missing, busy atomic.Int64
	const names = 1100
	for i := range names {
		readers.Go(func() {
			r, err := many.Get(fmt.Sprintf("%s/forge/none/%d", d.url, i))
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Body.Close()
			switch {
			case r.StatusCode == 404:
				missing.Add(1)
			case r.StatusCode == 503 && r.Header.Get("Retry-After") != "":
				busy.Add(1)
			default:
				t.Errorf("answered %s", r.Status)
			}
		})
	}
	eventually(t, "some are refused", func() bool { return busy.Load() > 0 })
	d.get("/x/health").expect(t, 200)
	held.release()
	// From another address: it has the next turn, whoever is in line.
	other := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}}
	eventually(t, "there is room in the line", func() bool {
		r, err := other.Get(d.url + "/forge/acme/x")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		return r.StatusCode == 200
	})
	readers.Wait()
	if missing.Load()+busy.Load() != names || most.Load() > 8 {
		t.Errorf("%d are missing, %d refused; %d at once", missing.Load(), busy.Load(), most.Load())
	}
}

// TestFirstReadsWithATokenToRead: who may not read makes nothing.
func TestFirstReadsWithATokenToRead(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.repo("acme/x")
	d := start(t, fmt.Sprintf("token = %q\nread_token = %q", token, "a-token-for-those-who-read"), f.table())
	d.get("/forge/acme/x").expect(t, 401)
	d.get("/forge/acme/x/info/refs?service=git-upload-pack").expect(t, 401)
	if f.lists("acme/x") != 0 {
		t.Error("the origin was asked for who may not read")
	}
	d.get("/forge/acme/x", "Authorization", bearer("a-token-for-those-who-read")).expect(t, 200)
}

// TestShutdownEndsFirstReads: they are told so.
func TestShutdownEndsFirstReads(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.repo("acme/x")
	arrived, held := make(chan bool, 10), newHold(t)
	f.watch(func(*http.Request) { arrived <- true; held.wait() })
	d := start(t, f.table())
	read := make(chan error, 1)
	go func() { _, err := d.try("GET", "/forge/acme/x", nil); read <- err }()
	<-arrived
	d.signal(syscall.SIGTERM)
	d.wait("stopping")
	d.signal(syscall.SIGTERM)
	<-d.exited
	<-read
	if exists(d.mirror("forge/acme/x")) {
		t.Error("half a mirror is there")
	}
}

// TestInsteadOf does what README.md and docs/on-demand.md say, word by word but for names: every clone
// goes through the server, and every push to the origin.
func TestInsteadOf(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(readme), "## Mirrors that make themselves")
	part, _, _ = strings.Cut(part, "\n## ")
	block := func(language string) string {
		_, text, _ := strings.Cut(part, "```"+language+"\n")
		text, _, found := strings.Cut(text, "```")
		if !found {
			t.Fatalf("README.md shows no %s for mirrors that make themselves", language)
		}
		return text
	}
	insteadOf(t, block("toml"), block("sh"))
	page := blocks(t, "on-demand.md", "sh")
	d, run := insteadOf(t, blocks(t, "on-demand.md", "toml")[0], page[0])
	before := d.status("").Total
	run(strings.NewReplacer("http://sould.local", d.url, "jack/configs", "acme/x").Replace(page[1]))
	if a := d.get("/x/status?format=json"); d.status("").Total != before || strings.Contains(a.text(), `"on_demand":true`) {
		t.Errorf("after the POST of the page:\n%s", a.text())
	}
}

// insteadOf starts a server with a table for github.com, does what a client is told to, and clones and
// pushes. run runs more in the client's shell.
func insteadOf(t *testing.T, conf, told string) (d *daemon, run func(script string) string) {
	t.Helper()
	f := newForge(t)
	r := f.repo("acme/x")
	d = start(t, adapt(t, conf, `"https://github.com/{path}"`, fmt.Sprintf("%q", f.URL+"/{path}.git")))
	home := t.TempDir()
	run = func(script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-e", "-c", script)
		cmd.Dir = home
		cmd.Env = append(environ(), "HOME="+home, "GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_NAME=T", "GIT_AUTHOR_EMAIL=t@e", "GIT_COMMITTER_NAME=T", "GIT_COMMITTER_EMAIL=t@e")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
	run(adapt(t, told, "http://sould.local", d.url, "https://github.com", f.URL))
	run("git clone -q " + f.URL + "/acme/x.git && cd x && git commit -q --allow-empty -m new && git push -q origin HEAD:main")
	d.made("github.com/acme/x", f.URL+"/acme/x.git", true)
	if got, want := r.Git("rev-parse", "main"), strings.TrimSpace(run("git -C x rev-parse HEAD")); got != want {
		t.Errorf("the push did not get to the origin: %s, want %s", got, want)
	}
	if f.lists("acme/x") > 3 { // ours, that of the transfer, and that of the push
		t.Errorf("the client has asked the origin: %d lists", f.lists("acme/x"))
	}
	return d, run
}

// TestIgnoreCase: where a table says so, all spellings of a name are one mirror, however it is made. A mirror
// that has the very name stays what it is.
func TestIgnoreCase(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.repo("acme/x")
	f.repo("Acme/Posted")
	d := start(t, tokenLine, f.table("ignore_case = true"))
	d.postWithToken("forge/Acme/Posted", f.URL+"/Acme/Posted.git").expect(t, 200)
	for _, name := range []string{"forge/Acme/X", "forge/acme/x.GIT", "Forge/ACME/x.git", "forge/acme/x"} {
		d.get("/"+name).expect(t, 200, "X-State", "success")
		d.clone("2", name)
	}
	d.get("/forge/Acme/Posted").expect(t, 200)
	if all, _ := filepath.Glob(d.mirror("[^.]*/*/*")); len(all) != 2 || !exists(d.mirror("forge/acme/x")) {
		t.Errorf("the mirrors are %v", all)
	}
	d.made("forge/acme/x", f.URL+"/acme/x.git", true)
	d.do("POST", "/", strings.NewReader("name=FORGE/acme/X.git"), "Content-Type", formType, "Authorization", bearer(token)).expect(t, 200).contains(t, "forge/acme/x ")
	d.made("forge/acme/x", f.URL+"/acme/x.git", false)
	d.get("/forge/acme/X.LOCK").expect(t, 400)
	if out, err := d.checkConfig(); err != nil || !strings.Contains(out, "ignore_case") {
		t.Errorf("--check: %v\n%s", err, out)
	}
	d.reload(tokenLine, f.table())
	d.get("/forge/acme/X").expect(t, 404)
}
