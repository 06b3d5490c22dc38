package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// crashes is how often the random crash test kills; SOULD_CRASHES overrides it.
func crashes(t *testing.T) int {
	n := shortOrLong(8, 200)
	if s := os.Getenv("SOULD_CRASHES"); s != "" {
		n = mustAtoi(t, s)
	}
	return n
}

// TestCrashes kills a master at random moments, alone or with its git processes, while
// mirrors are created, updated, removed, repacked, compared with those of a slave,
// archived and cloned. After each restart all that was acknowledged is there, and nothing
// is half made.
func TestCrashes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const mirrors = 4
	var repos []*origin.Repo
	for i := range mirrors {
		r := origin.New(t, filepath.Join(root, fmt.Sprintf("r%d.git", i)))
		files := make(map[string]string)
		for j := range 200 {
			files[fmt.Sprintf("f%d", j)] = strings.Repeat(fmt.Sprint(i*j), 50)
		}
		r.Commit("main", files)
		repos = append(repos, r)
	}
	server := origin.ServeHTTP(t, root)
	slave := start(t, fmt.Sprintf("token = %q", token))
	d := start(t, fmt.Sprintf("token = %q", token), "master = true", slaves(slave.url), `repair = "500ms"`)
	slave.get("/x/health").expect(t, 200)
	random := seeded(t)
	side := newCrashSide(t, d, slave, server.URL, root)

	var mu sync.Mutex // guards acknowledged
	acknowledged := make(map[string]string)
	var posted, read atomic.Int64
	rounds, repacks := crashes(t), 0
	for round := range rounds {
		var clients sync.WaitGroup
		posts, gets, clones, removals := posted.Load(), read.Load(), side.clones.Load(), side.removals.Load()
		for i, r := range repos {
			name := crashName(round, i)
			tip := r.Commit("main", map[string]string{"new": fmt.Sprint(round)})
			for b := range 10 {
				r.Git("update-ref", fmt.Sprintf("refs/heads/b%d", b), tip)
			}
			at := d.url
			clients.Go(func() {
				for range 5 {
					a, err := (&daemon{t: t, url: at}).try("POST", "/", form(name, fmt.Sprintf("%s/r%d.git", server.URL, i)), "Content-Type", formType, "Authorization", bearer(token))
					if err != nil {
						return // killed
					}
					if a.StatusCode == http.StatusOK {
						mu.Lock()
						acknowledged[name] = tip
						mu.Unlock()
						posted.Add(1)
					}
					a, err = (&daemon{t: t, url: at}).try("GET", "/"+name, nil)
					if err == nil && a.err == nil && a.StatusCode == http.StatusOK {
						read.Add(1)
					}
				}
			})
		}
		if soak() && round%8 == 7 {
			side.manyPacks()
		}
		side.begin(round, &clients)
		switch {
		case round%4 == 1: // not before something of each kind is done
			within(patient, func() bool {
				return posted.Load() > posts && read.Load() > gets && side.clones.Load() > clones && side.removals.Load() > removals
			})
		case soak() && round%8 == 7: // TestAKilledRepackLeavesNothing is the short form
			if within(3*time.Second, d.repacks) {
				repacks++
			}
		}
		pause := time.NewTimer(time.Duration(random.IntN(150+250*(round%2))) * time.Millisecond)
		<-pause.C
		d.kill()
		if round%2 == 0 {
			d.killChildren()
		}
		clients.Wait()
		for name, tip := range acknowledged { // before a GET can bring it once more
			if out, err := origin.Command("--git-dir="+d.mirror(name), "merge-base", "--is-ancestor", tip, "refs/heads/main").CombinedOutput(); err != nil {
				t.Errorf("%s was acknowledged with %s, which is not there: %v\n%s", name, tip, err, out)
			}
		}
		side.killed()
		d.run()
		side.restarted()

		for name, tip := range acknowledged {
			a := d.get("/"+name).expect(t, 200)
			if a.err != nil {
				t.Errorf("%s: %v", name, a.err)
			}
			// It may hold something newer that was not acknowledged any more.
			if out, err := origin.Command("--git-dir="+d.mirror(name), "merge-base", "--is-ancestor", tip, a.Header.Get("X-Revision")).CombinedOutput(); err != nil {
				t.Errorf("%s was acknowledged with %s, now it is %s\n%s", name, tip, a.Header.Get("X-Revision"), out)
			}
		}
		for i := range repos {
			name := crashName(round, i)
			d.postAs(bearer(token), name, fmt.Sprintf("%s/r%d.git", server.URL, i)).expect(t, 200)
			if got, want := refs(t, d.mirror(name)), refs(t, repos[i].Dir); got != want {
				t.Errorf("%s has\n%sthe origin\n%s", name, got, want)
			}
			d.fsck(name)
		}
		d.cleanSoon()
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		if round%6 == 5 { // new names from now on: clones are cut short as well
			for name := range acknowledged {
				d.fsck(name)
			}
			clear(acknowledged)
		}
	}
	side.end()
	t.Logf("%d POSTs acknowledged, %d archives read, %d times a repack was met", posted.Load(), read.Load(), repacks)
	if rounds > 1 && (posted.Load() == 0 || read.Load() == 0 || side.clones.Load() == 0 || side.removals.Load() == 0 || len(side.kept) == 0) {
		t.Error("too little has happened")
	}
	if soak() && repacks == 0 {
		t.Error("no repack was met")
	}
}

// repacks reports whether the daemon is repacking a mirror.
func (d *daemon) repacks() bool {
	for _, pid := range d.holders() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(line), "\x00repack\x00") {
			return true
		}
	}
	return false
}

// crashName is the mirror that a round deals with: three sets of mirrors take turns,
// twice, and then there are new ones.
func crashName(round, i int) string {
	return fmt.Sprintf("set%d/m%d", round/6*3+round%3, i)
}

// killChildren ends the git processes of a daemon that is alive or was killed,
// without a chance to clean up.
func (d *daemon) killChildren() {
	leash, err := os.Stat(filepath.Join(d.storage, ".sould", "children"))
	if err != nil {
		d.t.Fatal(err)
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		pid := mustAtoi(d.t, strings.Split(fd, "/")[2])
		if info, err := os.Stat(fd); err == nil && os.SameFile(info, leash) && pid != d.cmd.Process.Pid {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// clean checks that nothing lies about that belongs to no mirror.
func (d *daemon) clean() {
	d.t.Helper()
	for _, path := range d.leftOver() {
		d.t.Errorf("left over: %s", path)
	}
}

// cleanSoon is clean for a daemon that may be at work on its own account.
func (d *daemon) cleanSoon() {
	d.t.Helper()
	if !within(patient, func() bool { return len(d.leftOver()) == 0 }) {
		d.clean()
	}
}

// removed is the name in the trash of a mirror that was removed on purpose.
var removed = regexp.MustCompile(`/\.sould/trash/[0-9]+(\.[0-9]+)?-[^/]+(/mirror|$)`)

// leftOver are the files that only one who is at work has: locks, unfinished packs,
// indexes, graphs and notes, mirrors that are being built, were replaced, or are about
// to be removed.
func (d *daemon) leftOver() (left []string) {
	d.t.Helper()
	err := filepath.WalkDir(d.storage, func(path string, _ fs.DirEntry, err error) error {
		name := filepath.Base(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has just gone
			return nil
		case err != nil:
			return err
		case removed.MatchString(path):
		case strings.HasSuffix(name, ".lock"), strings.HasSuffix(name, ".new"), strings.HasSuffix(name, ".keep"), strings.Contains(name, "tmp_"),
			strings.HasPrefix(name, ".tmp-"), strings.HasPrefix(name, ".new-"), strings.HasPrefix(name, "bitmap-ref-tips"),
			strings.Contains(path, "/.sould/incoming/"), strings.Contains(path, "/.sould/trash/"):
			left = append(left, path)
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return left
}

// TestAChangeThatWasCutShort: refs change in one step and HEAD in another. A power
// failure between them must not be seen by anybody, nor one before the first.
func TestAChangeThatWasCutShort(t *testing.T) {
	for _, refsWritten := range []bool{true, false} {
		t.Run(fmt.Sprintf("refs written %v", refsWritten), func(t *testing.T) {
			r := newOrigin(t)
			d := start(t)
			d.pulled("m", r.Dir)
			mirror := d.mirror("m")
			packed, state := filepath.Join(mirror, "packed-refs"), filepath.Join(mirror, "sould.json")
			oldRefs := read(t, packed)
			r.Git("branch", "-m", "main", "trunk")
			r.Git("symbolic-ref", "HEAD", "refs/heads/trunk")
			d.pulled("m", r.Dir)
			d.stop()

			// Back to the moment between the steps: the decision is written down.
			newRefs := read(t, packed)
			tip := r.Git("rev-parse", "trunk")
			_, all, _ := strings.Cut(newRefs, "\n") // after the header
			sum := sha256.Sum256([]byte(all))
			var values map[string]any
			if err := json.Unmarshal([]byte(read(t, state)), &values); err != nil {
				t.Fatal(err)
			}
			values["pending"] = map[string]any{
				"head": map[string]string{"Ref": "refs/heads/trunk", "ID": tip}, "refs": hex.EncodeToString(sum[:]),
			}
			text, err := json.Marshal(values)
			if err != nil {
				t.Fatal(err)
			}
			if !refsWritten {
				newRefs = oldRefs
			}
			for path, text := range map[string]string{
				packed: newRefs, state: string(text), filepath.Join(mirror, "HEAD"): "ref: refs/heads/main\n",
				filepath.Join(mirror, "packed-refs.lock"): "",
			} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Rename(r.Dir, r.Dir+".away"); err != nil {
				t.Fatal(err)
			}
			d.run()
			d.get("/m").expect(t, 200, "X-Revision", tip)
			want := "ref: refs/heads/main\n"
			if refsWritten {
				want = "ref: refs/heads/trunk\n"
			}
			if got := read(t, filepath.Join(mirror, "HEAD")); got != want {
				t.Errorf("HEAD is %q, want %q", got, want)
			}
			if strings.Contains(read(t, state), "pending") {
				t.Error("the decision is not forgotten")
			}
			d.clean()
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestGitIsKilled: what becomes of a pull whose git dies.
func TestGitIsKilled(t *testing.T) {
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	server := origin.ServeHTTP(t, root)
	arrived, held := make(chan bool, 8), newHold(t)
	server.Before(func(q *http.Request) {
		if q.Method == "POST" {
			arrived <- true
			held.wait()
		}
	})
	d := start(t)
	answers := make(chan answer)
	go func() { answers <- d.post("m", server.URL+"/r.git") }()
	<-arrived
	d.killChildren()
	(<-answers).expect(t, 500).contains(t, "can't fetch", "git clone died: killed")
	held.release()
	d.pulled("m", server.URL+"/r.git")
	d.clean()
}
