package git

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

func TestSweepLeavesNothingButTheRepository(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "odd[1]*.git"))
	id := r.Commit("main", map[string]string{"a": "b"})
	r.Git("repack", "-adq")
	packs, _ := filepath.Glob(filepath.Join(globQuote(r.Dir), "objects/pack/*.pack"))
	kept := strings.TrimSuffix(packs[0], ".pack") + ".keep"
	stale := []string{
		"HEAD.lock", "packed-refs.lock", "config.lock", "packed-refs.new", "refs/heads/main.lock", "refs/heads/a/b.lock",
		"objects/pack/tmp_pack_abc", "objects/pack/tmp_idx_abc", "objects/pack/.tmp-1-pack-x.pack",
		"objects/aa/tmp_obj_x", "objects/info/commit-graph.lock", "objects/pack/pack-1.keep",
	}
	for _, name := range append(stale, "description") {
		path := filepath.Join(r.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("fetch-pack 1 on host"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(kept, []byte("kept by an operator\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	stale = append(stale, "objects/pack/pack-2.keep") // as git leaves it on a full disk
	if err := os.WriteFile(filepath.Join(r.Dir, stale[len(stale)-1]), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := New(Options{}).Repo(r.Dir).Sweep(); err != nil {
		t.Fatal(err)
	}
	for _, name := range stale {
		if _, err := os.Stat(filepath.Join(r.Dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, path := range []string{kept, filepath.Join(r.Dir, "description")} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s is gone", path)
		}
	}
	if r.Git("rev-parse", "main") != id {
		t.Error("the branch has changed")
	}
}

// muteServer takes connections, which it tells of, and says nothing.
func muteServer(t *testing.T) (address string, came <-chan bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tell := make(chan bool, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close() // with the listener
			tell <- true
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), tell
}

// TestEndOfContextEndsAllProcesses: no helper survives, since the leash, which helpers hold
// too, can be taken at once.
func TestEndOfContextEndsAllProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leash")
	leash, err := NewLeash(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	g := New(Options{Leash: leash})
	reason := errors.New("long enough")
	for _, scheme := range []string{"http", "git"} {
		mute, came := muteServer(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		listed := make(chan error)
		go func() {
			_, err := g.List(ctx, Remote{URL: scheme + "://" + mute + "/x.git"})
			listed <- err
		}()
		select {
		case <-came:
		case err := <-listed:
			t.Fatalf("%s: %v before anybody was asked", scheme, err)
		}
		began := time.Now()
		cancel(reason)
		err = <-listed
		if !errors.Is(err, reason) || !strings.Contains(err.Error(), "long enough") {
			t.Errorf("%s: %v, want the cause", scheme, err)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%s: it took %s to end", scheme, took)
		}
	}
	if running, started := leash.Children(); running != 0 || started == 0 {
		t.Errorf("%d children of %d are counted as running", running, started)
	}
	if err := leash.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := g.List(t.Context(), Remote{URL: "http://127.0.0.1:1/x"}); !errors.Is(err, ErrClosed) {
		t.Errorf("a command after Close: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // NewLeash must not wait
	next, err := NewLeash(ctx, path)
	if err != nil {
		t.Fatalf("a process is left: %v", err)
	}
	next.Close()
}

func TestLeashEndsOrphansOfAnEarlierDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leash")
	old, err := NewLeash(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	orphan := exec.Command("sleep", "1000")
	orphan.ExtraFiles = []*os.File{old.file}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	if err := old.file.Close(); err != nil { // as the kernel does for a daemon that was killed
		t.Fatal(err)
	}
	next, err := NewLeash(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := orphan.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the orphan ended with %v", err)
	}
}
