package tests

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// halting is a forge with a repository acme/x, of which half of a pack is sent and then held.
type halting struct {
	*forge
	daemon *daemon
	repo   *origin.Repo
	tip    string
	began  chan bool     // gets a value when half of a pack was sent
	goOn   chan struct{} // lets the other half come
}

// newHalting starts it, and a sould that makes mirrors of it.
func newHalting(t *testing.T, initOptions ...string) *halting {
	t.Helper()
	h := &halting{forge: newForge(t), began: make(chan bool, 10), goOn: make(chan struct{})}
	h.fill(initOptions...)
	h.Be(origin.Halting(h.began, h.goOn))
	h.daemon = start(t, h.table())
	return h
}

// fill makes the repository. Its pack is large enough to be seen by halves.
func (h *halting) fill(initOptions ...string) {
	h.t.Helper()
	h.repo = origin.New(h.t, filepath.Join(h.root, "acme/x.git"), initOptions...)
	random := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		noise := make([]byte, 400_000)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		h.tip = h.repo.Commit("main", map[string]string{"noise": string(noise), "text": fmt.Sprint(random.Uint32())})
	}
	h.repo.Git("tag", "-a", "-m", "m", "v1", "main~1")
}

// firstClone is a running git clone.
type firstClone struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	said bytes.Buffer
}

func (h *halting) clone(args ...string) *firstClone {
	h.t.Helper()
	c := &firstClone{t: h.t, dir: filepath.Join(h.t.TempDir(), "c")}
	c.cmd = origin.Command(append(append([]string{"clone", "--progress"}, args...), h.daemon.url+"/forge/acme/x", c.dir)...)
	c.cmd.Stderr = &c.said
	if err := c.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// succeeds checks that the clone has the tip and all that it leads to, and returns how many commits that are.
func (c *firstClone) succeeds(tip string) (commits string) {
	c.t.Helper()
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("%v\n%s", err, c.said.String())
	}
	if now := in(c.t, c.dir, "rev-parse", "HEAD"); now != tip {
		c.t.Errorf("it has %s", now)
	}
	in(c.t, c.dir, "fsck", "--connectivity-only")
	return in(c.t, c.dir, "rev-list", "--count", "HEAD")
}

// fails checks that the clone fails with these words, and leaves nothing.
func (c *firstClone) fails(words string) {
	c.t.Helper()
	if err := c.cmd.Wait(); err == nil {
		c.t.Fatal("it has succeeded")
	}
	if !strings.Contains(c.said.String(), words) {
		c.t.Errorf("it does not say %q:\n%s", words, c.said.String())
	}
	if exists(c.dir) {
		c.t.Error("it has left its directory")
	}
}

// waiting waits until so many clients wait for the pack or get it.
func (h *halting) waiting(clients float64) {
	h.t.Helper()
	eventually(h.t, fmt.Sprint(clients, " clients wait"), func() bool {
		return h.daemon.metrics()[`sould_connections{state="sending"}`] >= clients
	})
}

// getting waits until a client has got some of the pack.
func (h *halting) getting() {
	h.t.Helper()
	eventually(h.t, "a client gets some of the pack", func() bool {
		return h.daemon.metrics()[`sould_sent_bytes_total{content="pack"}`] > 100_000
	})
}

// TestFirstCloneGetsThePackAsItComes: all who clone while the mirror is made get what the origin
// sends, and git makes no pack for them. The mirror does not wait for who goes away.
func TestFirstCloneGetsThePackAsItComes(t *testing.T) {
	t.Parallel()
	h := newHalting(t)
	clones := []*firstClone{h.clone(), h.clone("--bare"), h.clone("--single-branch")}
	dead := h.clone()
	<-h.began
	h.waiting(4)
	clones = append(clones, h.clone()) // while it comes
	h.waiting(5)
	h.getting()
	if err := dead.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = dead.cmd.Wait()
	close(h.goOn)
	for _, c := range clones {
		if n := c.succeeds(h.tip); n != "3" {
			t.Errorf("it has %s commits", n)
		}
	}
	if in(t, clones[0].dir, "cat-file", "-t", "v1") != "tag" {
		t.Error("the tag is not there")
	}
	h.daemon.made("forge/acme/x", h.URL+"/acme/x.git", true)
	now := h.daemon.metrics()
	if n := now[`sould_packs_total{result="made"}`] + now[`sould_packs_total{result="shared"}`]; n != 0 {
		t.Errorf("%v packs were made or shared", n)
	}
	if n := now[`sould_packs_total{result="passed"}`]; n != 4 {
		t.Errorf("%v packs were passed on", n)
	}
	if n := h.Fetches.Load(); n > 2 { // the list in version 2, and the objects
		t.Errorf("the origin was asked %d times", n)
	}
	if n := now["sould_cache_used_bytes"]; n != 0 {
		t.Errorf("%v bytes are left in the cache", n)
	}
}

// TestFirstCloneOfAPart: who wants something else than all waits for the mirror, is told how far it is
// if its version of the protocol has words for that, and gets an answer of git's.
func TestFirstCloneOfAPart(t *testing.T) {
	t.Parallel()
	h := newHalting(t)
	told := []*firstClone{h.clone("--depth=1", "--no-single-branch"), h.clone("--filter=blob:none", "--bare")}
	<-h.began
	h.waiting(2)
	quiet := h.clone("--depth=2", "--no-progress")
	h.waiting(3)
	silent := []*firstClone{h.clone("-c", "protocol.version=0"), h.clone("-c", "protocol.version=1")}
	eventually(t, "clients are told how far it is", func() bool {
		return h.daemon.metrics()[`sould_sent_bytes_total{content="pack"}`] > 200
	})
	close(h.goOn)
	for i, c := range told {
		if n := c.succeeds(h.tip); n != []string{"1", "3"}[i] {
			t.Errorf("it has %s commits", n)
		}
		if !strings.Contains(c.said.String(), "remote: sould makes the mirror forge/acme/x: receiving objects") {
			t.Errorf("it is told:\n%s", c.said.String())
		}
	}
	if n := quiet.succeeds(h.tip); n != "2" || strings.Contains(quiet.said.String(), "remote: ") {
		t.Errorf("who wants no progress has %s commits, and is told:\n%s", n, quiet.said.String())
	}
	for _, c := range silent {
		c.succeeds(h.tip)
	}
}

// TestFirstCloneOfWhatBreaksOff: that the origin goes away midway is said in words.
func TestFirstCloneOfWhatBreaksOff(t *testing.T) {
	t.Parallel()
	h := newHalting(t)
	whole, part := h.clone(), h.clone("--depth=1")
	<-h.began
	h.waiting(2)
	h.getting()
	h.HangUp()
	whole.fails("sould: the mirror forge/acme/x is not what has come: can't fetch")
	part.fails("sould can't make the mirror forge/acme/x: can't fetch")
	if exists(h.daemon.mirror("forge/acme/x")) {
		t.Error("half a mirror is there")
	}
	h.daemon.cleanSoon()
}

// TestFirstCloneOfWhatIsRefused: objects that are refused reach a client, which must not take them for
// its clone. Git refuses some at once, so that the client gets nothing. The rest is there at the
// next attempt.
func TestFirstCloneOfWhatIsRefused(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{"gitmodulesUrl", "hasDotgit"} {
		h := newHalting(t)
		h.repo.Git("update-ref", "refs/heads/bad", h.repo.Odd(odd))
		whole := h.clone()
		<-h.began
		h.waiting(1)
		if odd == "gitmodulesUrl" {
			h.getting()
		}
		close(h.goOn)
		whole.fails(odd)
		h.clone().succeeds(h.tip)
	}
}

// TestFirstCloneInSHA256: a client is told the object format before there is an object.
func TestFirstCloneInSHA256(t *testing.T) {
	t.Parallel()
	h := newHalting(t, "--object-format=sha256")
	c := h.clone()
	<-h.began
	h.getting()
	close(h.goOn)
	c.succeeds(h.tip)
}

// TestFirstCloneOverSSH: what comes by ssh goes to the client as it comes, too. Half of the pack is held
// between ssh and git.
func TestFirstCloneOverSSH(t *testing.T) {
	t.Parallel()
	server := origin.ServeSSH(t)
	if server == nil {
		t.Skip("no sshd")
	}
	h := &halting{forge: &forge{t: t, root: t.TempDir()}}
	h.fill()
	dir := t.TempDir()
	held := filepath.Join(dir, "held")
	script := "#!/bin/sh\nssh \"$@\" | {\nstdbuf -o0 head -c 600000\ndd bs=1 count=1 status=none of=" + dir + "/next.$$\n" +
		"while [ -s " + dir + "/next.$$ ] && [ -e " + held + " ]; do sleep 0.05; done\ncat " + dir + "/next.$$ -\n}\n"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "ssh"), []byte(script), 0o755), os.WriteFile(held, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	h.daemon = start(t, fmt.Sprintf("ssh_command = %q", dir+"/"+server.Command), "[[ondemand]]", `prefix = "forge/"`,
		fmt.Sprintf("origin = %q", server.URL+h.root+"/{path}.git"))
	c := h.clone()
	h.getting()
	if exists(h.daemon.mirror("forge/acme/x")) {
		t.Error("the mirror is there already")
	}
	if err := os.Remove(held); err != nil {
		t.Fatal(err)
	}
	c.succeeds(h.tip)
	if strings.Contains(c.said.String(), "checks what has come: receiving") {
		t.Errorf("it is told:\n%s", c.said.String())
	}
	if n := h.daemon.metrics()[`sould_packs_total{result="passed"}`]; n != 1 {
		t.Errorf("%v packs were passed on", n)
	}
	h.daemon.fsck("forge/acme/x")
}

// TestFirstCloneOfAShallowOrigin: the pack does not say where the history is cut off, so that the mirror answers.
func TestFirstCloneOfAShallowOrigin(t *testing.T) {
	t.Parallel()
	h := newHalting(t)
	write(t, filepath.Join(h.repo.Dir, "shallow"), in(t, h.repo.Dir, "rev-parse", "main~1")+"\n")
	c := h.clone()
	<-h.began
	h.waiting(1)
	close(h.goOn)
	if n := c.succeeds(h.tip); n != "2" {
		t.Errorf("it has %s commits", n)
	}
	if in(t, c.dir, "rev-parse", "--is-shallow-repository") != "true" {
		t.Error("it does not know where its history ends")
	}
}

// TestFirstCloneWhenTheDaemonDies: the client fails, and nothing is left at the next start.
func TestFirstCloneWhenTheDaemonDies(t *testing.T) {
	t.Parallel()
	h := newHalting(t)
	c := h.clone()
	<-h.began
	h.getting()
	h.daemon.signal(syscall.SIGKILL)
	<-h.daemon.exited
	c.fails("fatal: ")
	h.daemon.run()
	h.daemon.clean()
	for _, name := range h.daemon.own("cache") {
		t.Errorf("%s is left in the cache", name)
	}
	close(h.goOn)
	h.clone().succeeds(h.tip)
}

// TestReadsOfWhatIsBeingPosted: who reads a name below a prefix while a POST makes the mirror waits for that, also
// if the POST spells the origin otherwise, or has another one.
func TestReadsOfWhatIsBeingPosted(t *testing.T) {
	t.Parallel()
	for what, origin := range map[string]string{"the same": "/acme/x.git", "another spelling": "/acme/x", "another": "/acme/y.git"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHalting(t)
			d := h.daemon
			if what == "another" {
				h.repo.Git("clone", "--quiet", "--bare", h.repo.Dir, filepath.Join(h.root, "acme/y.git"))
			}
			posted := d.posting("forge/acme/x", h.URL+origin)
			<-h.began
			read, again := d.getting("/forge/acme/x"), d.getting("/forge/acme/x/info/refs?service=git-upload-pack")
			eventually(t, "they wait, or have an answer", func() bool {
				return len(read)+len(again) > 0 || metric(t, d.get("/x/metrics").text(), `sould_first_reads_shared_total{with="run"}`) > 0
			})
			close(h.goOn)
			(<-posted).expect(t, 200)
			(<-read).expect(t, 200, "X-State", "success", "X-Revision", h.tip)
			(<-again).expect(t, 200)
			d.made("forge/acme/x", h.URL+origin, false)
		})
	}
}
