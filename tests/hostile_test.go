package tests

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// hostileSecrets must not appear anywhere.
var hostileSecrets = []string{"s3cr3t-p4ss", "t0ken-us3r", token, readToken, stranger}

// hostile is a daemon in the middle of things that it must not touch.
type hostile struct {
	t     *testing.T
	d     *daemon
	outer string // all that is the test's; the storage is outer/in/storage
	local string // a good origin, by path
	refs  string
	auth  []string // what a good request brings: pairs of header names and values
}

// hostileCase is one hostile request, or a small group of them.
type hostileCase struct {
	what string
	want int // status; 0 for a connection that is closed without an answer
	do   func() (status int, output string)
}

// TestHostile sends what nobody means well with. After each: the expected status; the
// refs of all mirrors are what they were and are served; nothing outside the storage has
// changed, and in it only what the request was for; no process is left; no secret stands in
// an answer, in the log or in the list of processes.
func TestHostile(t *testing.T) {
	t.Parallel()
	h := newHostile(t, newOrigin(t), nil)
	t.Run("requests", func(t *testing.T) { h.run(t, h.requests()) })
	t.Run("raw", func(t *testing.T) { h.run(t, h.raw()) })
	t.Run("origins", func(t *testing.T) { h.run(t, h.origins(t)) })
	t.Run("repositories", func(t *testing.T) { h.run(t, h.repositories(t)) })
	t.Run("storage", func(t *testing.T) { h.run(t, h.links(t)) })
}

// newHostile starts it with more lines of configuration, and what a good request brings
// then.
func newHostile(t *testing.T, r *origin.Repo, auth []string, lines ...string) *hostile {
	h := &hostile{t: t, outer: t.TempDir(), local: r.Dir, auth: auth}
	h.d = prepare(t)
	h.d.storage = filepath.Join(h.outer, "in", "storage")
	for _, name := range []string{"canary", "in/canary", "in/storage.git/HEAD", "in/secret/file"} {
		path := filepath.Join(h.outer, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("outside"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.d.configure(append(lines, `list_timeout = "5s"`, `fetch_timeout = "1m"`, `patience = "1s"`, `retry = "1h"`, `archive_timeout = "4s"`, `archive_limit = "64MiB"`)...)
	h.d.run()
	h.pulled("good/m", r)
	h.refs = refs(t, h.d.mirror("good/m"))
	return h
}

func (h *hostile) pulled(name string, r *origin.Repo) {
	h.t.Helper()
	h.d.do("POST", "/", form(name, r.Dir), append([]string{"Content-Type", formType}, h.auth...)...).expect(h.t, 200)
}

// outside is everything around the storage, with sizes and times.
func (h *hostile) outside(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(h.outer, func(path string, entry fs.DirEntry, err error) error {
		if path == h.d.storage {
			return fs.SkipDir
		}
		if info, err := entry.Info(); err == nil && !entry.IsDir() {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano(), info.Mode())
		} else {
			fmt.Fprintln(&b, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// names are the directories at the top of the storage: nothing may come there but the
// mirrors that the test asks for.
func (h *hostile) names(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(h.d.storage)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// mirrors are the files with the refs of all mirrors.
func (h *hostile) mirrors(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(h.d.storage, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err == nil && (entry.Name() == ".sould" || entry.Name() == "objects"):
			return fs.SkipDir
		case err == nil && (entry.Name() == "packed-refs" || entry.Name() == "HEAD"):
			files[path] = read(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func (h *hostile) run(t *testing.T, cases []hostileCase) {
	outside, names, mirrors := h.outside(t), h.names(t), h.mirrors(t)
	watch := h.watchProcesses()
	for _, c := range cases {
		began := time.Now()
		status, output := c.do()
		if status != c.want {
			t.Errorf("%s: status %d, want %d\n%.1000s", c.what, status, c.want, output)
		}
		if took := time.Since(began); took > patient { // nothing hangs
			t.Errorf("%s took %s", c.what, took)
		}
		h.silent(t, c.what, output)
		if now := h.outside(t); now != outside {
			t.Errorf("%s: around the storage there was\n%snow there is\n%s", c.what, outside, now)
			outside = now
		}
		if now := h.names(t); now != names && !strings.HasPrefix(c.what, "+") {
			t.Errorf("%s: in the storage there was %s, now there is %s", c.what, names, now)
		}
		names = h.names(t)
		if now := refs(t, h.d.mirror("good/m")); now != h.refs {
			t.Errorf("%s: the refs of another mirror are\n%s", c.what, now)
		}
		were := mirrors
		mirrors = h.mirrors(t)
		for path, now := range mirrors {
			if was, known := were[path]; known && now != was || !known && c.want != 200 {
				t.Errorf("%s: %s was\n%.1000s\nnow it is\n%.1000s", c.what, path, was, now)
			}
		}
		if len(mirrors) < len(were) {
			t.Errorf("%s: of %d files with refs there are %d", c.what, len(were), len(mirrors))
		}
		if a := h.d.get("/good/m", h.auth...); a.StatusCode != 200 || a.files(t)["file"] != "1" {
			t.Errorf("%s: the next GET: %s", c.what, a.Status)
		}
		if !within(10*time.Second, func() bool { return len(h.children()) == 0 }) {
			t.Errorf("%s: processes are left: %v", c.what, h.children())
		}
		if t.Failed() {
			return
		}
	}
	if !within(10*time.Second, func() bool { return len(h.d.holders()) == 0 }) {
		t.Errorf("processes are left: %v", h.d.holders())
	}
	h.silent(t, "the log", h.d.log.String())
	processes := watch()
	h.silent(t, "the list of processes", processes)
	if strings.HasSuffix(t.Name(), "/origins") && !strings.Contains(processes, "ls-remote") {
		t.Errorf("no git was seen among the processes:\n%s", processes)
	}
	h.d.cleanSoon()
}

func (h *hostile) silent(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range hostileSecrets {
		for _, form := range []string{secret, url.QueryEscape(secret)} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows a secret:\n%.2000s", what, text)
				return
			}
		}
	}
}

// watchProcesses collects the arguments of all children of the daemon until it is told
// to end.
func (h *hostile) watchProcesses() (end func() string) {
	seen := make(map[string]bool)
	note := func(pid string) {
		line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		seen[string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))] = true
	}
	over := make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			// Not all processes: only the groups that the daemon has started.
			for _, pid := range h.children() {
				note(pid)
				grand, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
				for pid := range strings.FieldsSeq(string(grand)) {
					note(pid)
				}
			}
		}
	})
	return func() string {
		close(over)
		wg.Wait()
		return strings.Join(slices.Sorted(maps.Keys(seen)), "\n")
	}
}

// children are the processes that the daemon has started itself and that are alive.
func (h *hostile) children() (pids []string) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", h.d.cmd.Process.Pid))
	for _, path := range lists {
		text, _ := os.ReadFile(path)
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

func shown(a answer) (int, string) {
	var b strings.Builder
	_ = a.Header.Write(&b)
	if a.Header.Get("Content-Type") != "application/x-tar" {
		b.WriteString(a.text())
	}
	return a.StatusCode, b.String()
}

// posting is a POST with these fields, as they are.
func (h *hostile) posting(what string, want int, body string, headers ...string) hostileCase {
	return hostileCase{what, want, func() (int, string) {
		return shown(h.d.do("POST", "/", strings.NewReader(body), append([]string{"Content-Type", formType}, headers...)...))
	}}
}

func (h *hostile) getting(what string, want int, path string, headers ...string) hostileCase {
	return hostileCase{what, want, func() (int, string) { return shown(h.d.get(path, headers...)) }}
}

func fields(name, origin string) string {
	return url.Values{"name": {name}, "origin": {origin}}.Encode()
}
