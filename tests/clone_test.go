package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// protocols are the versions of git's protocol that clients can speak.
var protocols = []string{"0", "1", "2"}

// gitClient runs git as a client does, in that version of the protocol. A client that is told
// nothing for two minutes gives up: it waits for somebody else.
func gitClient(version string, args ...string) (string, error) {
	cmd := origin.Command(append([]string{
		"-c", "protocol.version=" + version, "-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=120",
	}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// clone clones a mirror in that version of the protocol, checks all objects and
// returns the directory.
func (d *daemon) clone(version, name string, options ...string) string {
	d.t.Helper()
	dir := filepath.Join(d.t.TempDir(), "clone")
	args := append(append([]string{"clone", "--quiet"}, options...), d.url+"/"+name, dir)
	if out, err := gitClient(version, args...); err != nil {
		d.t.Errorf("protocol %s: clone %v of %s: %v\n%s", version, options, name, err, out)
		return ""
	}
	if out, err := gitClient(version, "-C", dir, "fsck", "--full", "--strict"); err != nil || strings.Contains(out, "error") {
		d.t.Errorf("protocol %s: fsck of a clone %v of %s: %v\n%s", version, options, name, err, out)
	}
	return dir
}

// in runs git in a clone.
func in(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := origin.Command(append([]string{"-C", dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Errorf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// children are the processes that the daemon has started and that are alive.
func (d *daemon) children() (pids []string) {
	d.t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		d.t.Fatal(err)
	}
	leash, err := filepath.EvalSymlinks(filepath.Join(d.storage, ".sould", "children"))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, link := range links {
		pid := strings.Split(link, "/")[2]
		if target, err := os.Readlink(link); err == nil && target == leash && pid != strconv.Itoa(d.cmd.Process.Pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestClone(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		for _, version := range protocols {
			t.Run(format+" "+version, func(t *testing.T) {
				t.Parallel()
				r := origin.New(t, filepath.Join(t.TempDir(), "r.git"), "--object-format="+format)
				r.Commit("main", map[string]string{"file": "1", "dir/file": "1"})
				r.Commit("main", map[string]string{"file": "2"})
				r.Commit("dev", map[string]string{"file": "dev"})
				r.Git("tag", "-a", "-m", "m", "v1", "main")
				r.Git("tag", "plain", "dev")
				d := start(t)
				d.pulled("my/mirror", r.Dir)
				whole := d.clone(version, "my/mirror.git", "--mirror")
				if got, want := refs(t, whole), refs(t, r.Dir); got != want {
					t.Errorf("the clone has\n%swant\n%s", got, want)
				}
				worktree := d.clone(version, "my/mirror")
				if got := in(t, worktree, "symbolic-ref", "HEAD", "refs/remotes/origin/HEAD"); got != "" {
					t.Error(got)
				}

				tip := r.Commit("main", map[string]string{"file": "3"})
				r.Git("update-ref", "-d", "refs/tags/plain")
				d.pulled("my/mirror", r.Dir)
				in(t, whole, "-c", "protocol.version="+version, "fetch", "--quiet", "--prune")
				if got, want := refs(t, whole), refs(t, r.Dir); got != want {
					t.Errorf("after a push the clone has\n%swant\n%s", got, want)
				}
				in(t, whole, "fsck", "--full", "--strict")

				shallow := d.clone(version, "my/mirror", "--depth=1")
				if got := in(t, shallow, "rev-list", "--all"); got != tip {
					t.Errorf("a shallow clone has %s, want %s", got, tip)
				}
				in(t, shallow, "-c", "protocol.version="+version, "fetch", "--quiet", "--unshallow")
				if got := in(t, shallow, "rev-list", "--count", "HEAD"); got != "3" {
					t.Errorf("no longer shallow, it has %s commits", got)
				}
				partial := d.clone(version, "my/mirror", "--filter=blob:none", "--no-checkout")
				if got := in(t, partial, "rev-list", "--objects", "--missing=print", "--all"); !strings.Contains(got, "\n?") {
					t.Errorf("a clone without blobs has all objects\n%s", got)
				}
				in(t, partial, "-c", "protocol.version="+version, "checkout", "--quiet", "main") // fetches what it needs
				if text, err := os.ReadFile(filepath.Join(partial, "file")); string(text) != "3" {
					t.Errorf("file holds %q, %v", text, err)
				}
			})
		}
	}
}

// TestCloneOfManyRefs has requests that git compresses, and that are too large to be
// kept in memory.
func TestCloneOfManyRefs(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	var stream strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&stream, "commit refs/heads/b%d\ncommitter T <t@example.org> %d +0000\ndata 1\nx\n", i, 1_000_000_000+i)
	}
	r.Import(stream.String() + "reset refs/heads/main\nfrom refs/heads/b0\n\n")
	d := start(t)
	d.pulled("m", r.Dir)
	for _, version := range protocols {
		dir := d.clone(version, "m", "--mirror")
		if got, want := refs(t, dir), refs(t, r.Dir); got != want {
			t.Errorf("protocol %s: the clone has %d bytes of refs, want %d", version, len(got), len(want))
		}
	}
}

func TestAnExactNameWins(t *testing.T) {
	t.Parallel()
	x, xgit := newOrigin(t), newOrigin(t)
	tip, other := x.Commit("main", map[string]string{"f": "x"}), xgit.Commit("main", map[string]string{"f": "x.git"})
	d := start(t)
	d.pulled("x1", x.Dir)
	for _, name := range []string{"x1", "x1.git"} {
		if got := in(t, d.clone("2", name), "rev-parse", "HEAD"); got != tip {
			t.Errorf("%s is %s, want %s", name, got, tip)
		}
	}
	d.pulled("x1.git", xgit.Dir)
	for name, want := range map[string]string{"x1": tip, "x1.git": other, "x1.git.git": other} {
		if got := in(t, d.clone("2", name), "rev-parse", "HEAD"); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestCloneOfAnEmptyMirror(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	d := start(t)
	d.pulled("m", r.Dir)
	for _, version := range protocols {
		dir := d.clone(version, "m")
		if got := in(t, dir, "for-each-ref"); got != "" {
			t.Errorf("protocol %s: the clone of an empty mirror has %s", version, got)
		}
	}
}

// TestPushesDuringClones rewrites history and changes the default branch all the time.
// Each clone must work and show all refs of one pull.
func TestPushesDuringClones(t *testing.T) {
	t.Parallel()
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	push := func(n int) {
		// A history of its own: what was there before is unreachable then.
		id := r.Commit(fmt.Sprintf("only-%d", n), map[string]string{"f": fmt.Sprint(n)})
		r.GitIn(fmt.Sprintf("update refs/heads/a %s\nupdate refs/heads/b %s\ndelete refs/heads/only-%d\n", id, id, max(n-1, 0)), "update-ref", "--stdin")
		r.Git("symbolic-ref", "HEAD", fmt.Sprintf("refs/heads/only-%d", n))
	}
	push(1)
	d := start(t)
	d.pulled("m", r.Dir)
	var stop atomic.Bool
	pushed := make(chan int)
	go func() {
		n := 1
		for ; !stop.Load(); n++ {
			push(n + 1)
			d.pulled("m", r.Dir)
		}
		pushed <- n
	}()
	var clients sync.WaitGroup
	for i := range 6 {
		clients.Go(func() {
			for range 4 {
				dir := d.clone(protocols[i%3], "m", "--mirror")
				if dir == "" {
					return
				}
				head := in(t, dir, "symbolic-ref", "HEAD")
				if got := in(t, dir, "rev-parse", "a", "b", head); got != strings.Repeat(in(t, dir, "rev-parse", "a")+"\n", 2)+in(t, dir, "rev-parse", "a") {
					t.Errorf("protocol %s: %s is not of the pull that its branches are of:\n%s", protocols[i%3], head, refs(t, dir))
				}
			}
		})
	}
	clients.Wait()
	stop.Store(true)
	if n := <-pushed; n < 3 {
		t.Errorf("only %d pushes happened meanwhile", n)
	}
}

func TestClonesAtOnce(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 2)
	d := start(t, "max_clones = 3")
	d.pulled("m", r.Dir)
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() {
			if got, want := refs(t, d.clone(protocols[i%3], "m", "--mirror")), refs(t, r.Dir); got != want {
				t.Errorf("a clone has\n%swant\n%s", got, want)
			}
		})
	}
	clients.Wait()
	eventually(t, "the end of all processes", func() bool { return len(d.children()) == 0 })
}

func TestMirrorsAreReadOnly(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	before := refs(t, d.mirror("m"))
	dir := d.clone("2", "m")
	for _, version := range protocols {
		out, err := gitClient(version, "-C", dir, "push", "origin", "HEAD:refs/heads/new")
		if err == nil || !strings.Contains(out, "remote: mirrors are read-only: push to the origin instead") {
			t.Errorf("protocol %s: push: %v\n%s", version, err, out)
		}
	}
	d.get("/m/info/refs?service=git-receive-pack").expect(t, 403)
	d.do("POST", "/m/git-receive-pack", strings.NewReader("0000"), "Content-Type", "application/x-git-receive-pack-request").
		expect(t, 403).contains(t, "read-only")
	if got := refs(t, d.mirror("m")); got != before {
		t.Errorf("the mirror has\n%s", got)
	}
}

const firstQuestion = "/info/refs?service=git-upload-pack"

// TestClonesPullFirst by the rule of GET.
func TestClonesPullFirst(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"file": "1"})
	server := origin.ServeHTTP(t, root)
	d := start(t, `retry = "1ms"`)
	d.pulled("m", server.URL+"/r.git")
	d.get("/m"+firstQuestion).expect(t, 200, "X-State", "success", "Cache-Control", "no-cache",
		"Content-Type", "application/x-git-upload-pack-advertisement")
	asked := func(what string, want int64, ask func()) {
		t.Helper()
		server.Lists.Store(0)
		ask()
		if n := server.Lists.Load(); n != want {
			t.Errorf("%s: the origin was asked %d times, want %d", what, n, want)
		}
	}
	asked("a pulled mirror", 0, func() { d.clone("0", "m"); d.clone("2", "m") })
	asked("a client that insists", 1, func() { d.get("/m"+firstQuestion, "Cache-Control", "no-cache").expect(t, 200) })
	tip := r.Commit("main", map[string]string{"file": "2"})
	asked("git that insists", 1, func() {
		dir := d.clone("2", "m", "-c", "http.extraHeader=Cache-Control: max-age=0, no-cache")
		if got := in(t, dir, "rev-parse", "HEAD"); got != tip {
			t.Errorf("HEAD is %s, want %s", got, tip)
		}
	})
	d.stop()
	tip = r.Commit("main", map[string]string{"file": "3"})
	d.run()
	asked("a peer", 0, func() { d.get("/m"+firstQuestion, "Sould-Peer", "some-id").expect(t, 200) })
	asked("the first one after a start", 1, func() {
		if got := in(t, d.clone("2", "m"), "rev-parse", "HEAD"); got != tip {
			t.Errorf("HEAD is %s, want %s", got, tip)
		}
	})

	// The origin goes away.
	server.Close()
	d.post("m", server.URL+"/r.git").expect(t, 500)
	d.get("/m"+firstQuestion).expect(t, 200, "X-State", "failed")
	for _, version := range protocols {
		if got := in(t, d.clone(version, "m"), "rev-parse", "HEAD"); got != tip {
			t.Errorf("HEAD is %s, want %s", got, tip)
		}
	}
}

// TestClonesHavePatience, and not more: the pull goes on, and they do not wait for it.
func TestClonesHavePatience(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t, "patience = 300", `list_timeout = "1m"`)
	d.pulled("m", r.Dir)
	d.stop()
	d.setOrigin("m", "http://"+origin.BlackHole(t)+"/r.git")
	d.run()
	var clients sync.WaitGroup
	for i := range 5 {
		clients.Go(func() { d.clone(protocols[i%3], "m") })
	}
	clients.Wait()
	d.get("/x/status?name=m").contains(t, "state: processing")
	if strings.Contains(d.log.String(), "can't pull") {
		t.Error("clones have waited for the end of the pull")
	}
}

func TestCloneOfAMirrorThatIsBeingMade(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	arrived, held := make(chan bool, 8), newHold(t)
	server.Before(func(*http.Request) { arrived <- true; held.wait() })
	d := start(t)
	answers := make(chan answer)
	go func() { answers <- d.post("m", server.URL+"/r.git") }()
	<-arrived
	d.get("/m"+firstQuestion).expect(t, 404, "Retry-After", "1").contains(t, "for the first time")
	d.get("/m.git"+firstQuestion).expect(t, 404, "Retry-After", "1")
	d.get("/other"+firstQuestion).expect(t, 404, "Retry-After", "")
	held.release()
	(<-answers).expect(t, 200)
	d.clone("2", "m")
}

// TestRefsOfOurOwnAreHidden, also if git lists them, and what a copied-in mirror's
// configuration says runs no program and shows nothing.
func TestRefsOfOurOwnAreHidden(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	r.Commit("main", map[string]string{"file": "2"})
	d := start(t)
	d.pulled("m", r.Dir)
	if out, err := origin.Command("clone", "--quiet", "--bare", "--depth=1", "file://"+r.Dir, d.mirror("shallow")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	trap := filepath.Join(t.TempDir(), "trap")
	for _, name := range []string{"m", "shallow"} {
		dir := d.mirror(name)
		tip := in(t, dir, "rev-parse", "main")
		for _, args := range [][]string{
			{"update-ref", "refs/sould/kept/1", tip},
			{"update-ref", "refs/replace/" + tip, tip},
			{"config", "uploadpack.packObjectsHook", "touch " + trap + "; exec"},
			{"config", "transfer.hideRefs", "!refs/sould"},
			{"config", "core.sshCommand", "touch " + trap},
			{"config", "core.fsmonitor", "touch " + trap},
			{"config", "remote.origin.promisor", "true"},
			{"config", "remote.origin.uploadpack", "touch " + trap + "; exec git-upload-pack"},
			{"config", "extensions.partialClone", "origin"},
		} {
			in(t, dir, args...)
		}
		for _, version := range protocols {
			if got, err := gitClient(version, "ls-remote", d.url+"/"+name); err != nil || strings.Count(got, "\n") != 2 {
				t.Errorf("protocol %s: %s shows %v\n%s", version, name, err, got)
			}
			clone := d.clone(version, name, "--mirror")
			if got := in(t, clone, "for-each-ref", "--format=%(refname)"); got != "refs/heads/main" {
				t.Errorf("protocol %s: a clone of %s has\n%s", version, name, got)
			}
		}
		// An object that is not there is not looked for elsewhere.
		want := "0032want " + strings.Repeat("12", 20) + "\n00000009done\n"
		a := d.do("POST", "/"+name+"/git-upload-pack", strings.NewReader(want), "Content-Type", cloneRequest)
		if !strings.Contains(a.text(), "not our ref") {
			t.Errorf("%s\n%s", a.Status, a.text())
		}
	}
	if _, err := os.Stat(trap); err == nil {
		t.Error("a mirror's configuration has run a program")
	}
}
