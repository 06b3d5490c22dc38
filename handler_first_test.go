package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/mirror"
	originurl "github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/tests/origin"
)

// first is a server, and an origin whose mirror m is made when a test says so.
type first struct {
	t      *testing.T
	server *Server
	url    string // of the mirror
	origin *origin.HTTP
	repo   *origin.Repo
	tip    string
	began  chan bool     // gets a value when half of a pack was sent to the server
	goOn   chan struct{} // lets the other half come
}

// newFirst starts them. The pack is large enough to be seen by halves.
func newFirst(t *testing.T) *first {
	t.Helper()
	root := t.TempDir()
	f := &first{t: t, began: make(chan bool, 10), goOn: make(chan struct{})}
	f.repo = origin.New(t, filepath.Join(root, "r.git"))
	random := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		noise := make([]byte, 400_000)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		f.tip = f.repo.Commit("main", map[string]string{"noise": string(noise), "text": fmt.Sprint(random.Uint32())})
	}
	f.repo.Git("-c", "user.name=T", "-c", "user.email=t@example.org", "tag", "-a", "-m", "m", "v1", "main~1")
	f.origin = origin.ServeHTTP(t, root)
	f.origin.Be(origin.Halting(f.began, f.goOn))

	conf := filepath.Join(t.TempDir(), "sould.conf")
	text := fmt.Sprintf("storage = %q\nlisten = \"127.0.0.1:0\"\nrepair = 0\n", filepath.Join(t.TempDir(), "storage"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.server, err = Start(t.Context(), conf, true, logging.New(io.Discard)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.origin.HangUp()
		if err := f.server.Close(nil); err != nil {
			t.Error(err)
		}
	})
	f.url = "http://" + f.server.listeners.Addr().String() + "/m"
	return f
}

func mirrorName(t *testing.T) storage.Name {
	t.Helper()
	name, err := storage.ParseName("m")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// make begins to make the mirror, and returns when its refs are known. The result comes later.
func (f *first) make() (result <-chan error) {
	f.t.Helper()
	name := mirrorName(f.t)
	from, err := originurl.Parse(f.origin.URL+"/r.git", false)
	if err != nil {
		f.t.Fatal(err)
	}
	store := f.server.mirrors.store
	run, err := store.Begin(mirror.Request{Name: name, Origin: from, OnDemand: true, By: "a test"})
	if err != nil {
		f.t.Fatal(err)
	}
	over := make(chan error, 1)
	ctx, end := context.WithCancel(f.t.Context())
	go func() {
		defer end()
		_, err := run.Wait(f.t.Context())
		over <- err
	}()
	if store.AwaitGrowing(ctx, name) == nil {
		f.t.Fatalf("the mirror does not grow: %v", <-over)
	}
	return over
}

// firstClone is a running git clone.
type firstClone struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	said bytes.Buffer
}

func (f *first) clone(args ...string) *firstClone {
	f.t.Helper()
	c := &firstClone{t: f.t, dir: filepath.Join(f.t.TempDir(), "c")}
	c.cmd = origin.Command(append(append([]string{"clone", "--progress"}, args...), f.url, c.dir)...)
	c.cmd.Stderr = &c.said
	if err := c.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// succeeds checks that the clone has the tip, and returns how many commits it has.
func (c *firstClone) succeeds(tip string) (commits string) {
	c.t.Helper()
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("%v\n%s", err, &c.said)
	}
	git := func(args ...string) string {
		out, err := origin.Command(append([]string{"-C", c.dir}, args...)...).CombinedOutput()
		if err != nil {
			c.t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if now := git("rev-parse", "HEAD"); now != tip {
		c.t.Errorf("it has %s", now)
	}
	git("fsck", "--connectivity-only")
	return git("rev-list", "--count", "HEAD")
}

// fails checks that the clone fails with these words, and leaves nothing.
func (c *firstClone) fails(words string) {
	c.t.Helper()
	if err := c.cmd.Wait(); err == nil {
		c.t.Fatal("it has succeeded")
	}
	if !strings.Contains(c.said.String(), words) {
		c.t.Errorf("it does not say %q:\n%s", words, &c.said)
	}
	if _, err := os.Stat(c.dir); err == nil {
		c.t.Error("it has left its directory")
	}
}

// following waits until so many clients follow the pack.
func (f *first) following(clients int64) {
	f.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for f.server.conns.Stats().Sending < clients {
		if time.Now().After(deadline) {
			f.t.Fatalf("%d clients do not follow", clients)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sending waits until a client has got some of the pack.
func (f *first) sending() {
	f.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for f.server.sent.Packs.Load() < 100_000 {
		if time.Now().After(deadline) {
			f.t.Fatal("nobody is sent anything")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestFirstCloneGetsThePackAsItComes: all who clone while the mirror is made get what the origin
// sends, and git makes no pack for them.
func TestFirstCloneGetsThePackAsItComes(t *testing.T) {
	f := newFirst(t)
	made := f.make()
	clones := []*firstClone{f.clone(), f.clone("--bare"), f.clone("--single-branch")}
	<-f.began
	clones = append(clones, f.clone()) // while it comes
	f.following(4)
	close(f.goOn)
	for _, c := range clones {
		if n := c.succeeds(f.tip); n != "3" {
			t.Errorf("it has %s commits", n)
		}
	}
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	if now := f.server.mirrors.packs.Stats(); now.Made+now.Shared != 0 {
		t.Errorf("%d packs were made, %d shared", now.Made, now.Shared)
	}
	if n := f.origin.Fetches.Load(); n > 2 { // ls-refs and fetch
		t.Errorf("the origin was asked %d times", n)
	}
	if now := f.server.mirrors.cache.Stats(); now.Used != 0 {
		t.Errorf("%d bytes are left in the cache", now.Used)
	}
}

// TestFirstCloneOfAPart: who wants something else than all waits for the mirror, is told how far it is, and
// gets an answer of git's.
func TestFirstCloneOfAPart(t *testing.T) {
	f := newFirst(t)
	made := f.make()
	<-f.began
	shallow, filtered := f.clone("--depth=1", "--no-single-branch"), f.clone("--filter=blob:none", "--bare")
	f.following(2)
	quiet := f.clone("--depth=2", "--quiet", "--no-progress")
	f.following(3)
	time.Sleep(tellTwice) // what they are told comes by the clock
	close(f.goOn)
	if n := shallow.succeeds(f.tip); n != "1" {
		t.Errorf("it has %s commits", n)
	}
	filtered.succeeds(f.tip)
	if n := quiet.succeeds(f.tip); n != "2" {
		t.Errorf("it has %s commits", n)
	}
	for _, c := range []*firstClone{shallow, filtered} {
		if !strings.Contains(c.said.String(), "remote: sould makes the mirror m: receiving objects") {
			t.Errorf("it is told:\n%s", &c.said)
		}
	}
	if strings.Contains(quiet.said.String(), "sould") {
		t.Errorf("who wants no progress is told:\n%s", &quiet.said)
	}
	if err := <-made; err != nil {
		t.Fatal(err)
	}
}

// tellTwice is long enough for a waiting client to be told something.
const tellTwice = 2500 * time.Millisecond

// TestFirstCloneWhenAClientDies: neither the mirror nor other clients notice.
func TestFirstCloneWhenAClientDies(t *testing.T) {
	f := newFirst(t)
	made := f.make()
	<-f.began
	dead, alive := f.clone(), f.clone()
	f.following(2)
	if err := dead.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = dead.cmd.Wait()
	close(f.goOn)
	alive.succeeds(f.tip)
	if err := <-made; err != nil {
		t.Fatal(err)
	}
}

// TestFirstCloneOfWhatBreaksOff: an origin that goes away midway is told of, in words.
func TestFirstCloneOfWhatBreaksOff(t *testing.T) {
	f := newFirst(t)
	made := f.make()
	<-f.began
	whole, part := f.clone(), f.clone("--depth=1")
	f.following(2)
	f.sending()
	f.origin.HangUp()
	if err := <-made; err == nil {
		t.Fatal("the mirror was made")
	}
	whole.fails("can't fetch")
	part.fails("sould can't make the mirror m")
	if f.server.mirrors.store.Growing(mirrorName(t)) != nil {
		t.Error("it still grows")
	}
}

// TestFirstCloneOfWhatIsRefused: objects that are refused reach a client, which must not take them for
// its clone. Git refuses some at once, so that the client gets nothing. The rest is there at the
// next attempt.
func TestFirstCloneOfWhatIsRefused(t *testing.T) {
	for odd, says := range map[string]string{
		"gitmodulesUrl": "sould: the mirror m is not what has come", "hasDotgit": "sould can't make the mirror m: ",
	} {
		f := newFirst(t)
		f.repo.Git("update-ref", "refs/heads/bad", f.repo.Odd(odd))
		made := f.make()
		<-f.began
		whole := f.clone()
		if odd == "gitmodulesUrl" {
			f.sending()
		} else {
			f.following(1)
		}
		close(f.goOn)
		whole.fails(says)
		if err := <-made; err == nil || !strings.Contains(err.Error(), odd) {
			t.Errorf("%s: the mirror was made: %v", odd, err)
		}
		f.clone().succeeds(f.tip)
	}
}

// TestFirstCloneInSHA256 says so to the client before there is anything.
func TestFirstCloneInSHA256(t *testing.T) {
	f := newFirst(t)
	r := origin.New(t, filepath.Join(filepath.Dir(f.repo.Dir), "s.git"), "--object-format=sha256")
	if err := os.RemoveAll(f.repo.Dir); err != nil {
		t.Fatal(err)
	}
	tip := r.Commit("main", map[string]string{"f": "1"})
	if err := os.Rename(r.Dir, f.repo.Dir); err != nil {
		t.Fatal(err)
	}
	f.make()
	<-f.began
	c := f.clone()
	f.following(1)
	close(f.goOn)
	c.succeeds(tip)
}
