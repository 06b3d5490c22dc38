package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/protocol"
)

// awaitStatus asks for a status as soon as it is another one than that with the ETag.
func (d *daemon) awaitStatus(path, etag string) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		a, err := d.try("GET", path, nil, "If-None-Match", etag)
		if err != nil {
			a.Response = &http.Response{Status: err.Error()}
		}
		done <- a
	}()
	return done
}

// changed checks that a status that was waited for is another one than before.
func changed(t *testing.T, a answer, etag string) {
	t.Helper()
	if a.StatusCode != 200 || a.Header.Get("Etag") == etag {
		t.Errorf("after a change: %s, ETag %s", a.Status, a.Header.Get("Etag"))
	}
}

// TestAStatusThatWaits is answered when it changes, when its time is over, and when the server stops.
// Another server is answered at once.
func TestAStatusThatWaits(t *testing.T) {
	t.Parallel()
	url, arrived, held := heldOrigin(t)
	d := start(t)
	eventually(t, "all is read", func() bool { return !d.status("").Loading })
	etag := d.get("/x/status").Header.Get("Etag")
	d.get("/x/status?wait=1ms", "If-None-Match", etag).expect(t, 304, "Etag", etag)
	d.get("/x/status?wait=0", "If-None-Match", etag).expect(t, 304)
	d.get("/x/status?wait=1h", "If-None-Match", `"another"`).expect(t, 200) // it has no reason to wait
	d.get("/x/status?wait=1h").expect(t, 200)
	d.get("/x/status?wait=1h&name=none", "If-None-Match", "*").expect(t, 404)

	first := d.awaitStatus("/x/status?wait=1h", etag)
	posted := d.posting("m", url)
	<-arrived
	changed(t, <-first, etag)
	held.release()
	(<-posted).expect(t, 200)

	before := time.Now()
	for _, server := range [][]string{
		{"Sould-Via", "another", "Sould-Request", "r1"}, {"Sould-Via", "old"}, {protocol.PeerHeader, "x"},
	} {
		for _, query := range []string{"", "&upstream=0", "&name=m"} {
			etag := d.get("/x/status?wait=1h"+query, server...).Header.Get("Etag")
			d.get("/x/status?wait=1h"+query, append([]string{"If-None-Match", etag}, server...)...).expect(t, 304)
		}
	}
	if took := time.Since(before); took > 20*time.Second {
		t.Errorf("other servers wait for %s", took)
	}

	last := d.awaitStatus("/x/status?wait=1h", d.get("/x/status").Header.Get("Etag"))
	select {
	case a := <-last:
		t.Errorf("nothing has changed, and there was an answer: %s", a.Status)
	case <-time.After(100 * time.Millisecond): // it may just be on its way: then what follows ends it as well
	}
	d.stop()
	(<-last).expect(t, 304)
	if strings.Contains(d.log.String(), "cut short") {
		t.Errorf("a status that waits keeps the server from stopping:\n%s", d.log)
	}
}

// TestAwaitStatusOfOneMirror: what happens to another one is no change.
func TestAwaitStatusOfOneMirror(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("a", r.Dir)
	eventually(t, "all is read", func() bool { return !d.status("").Loading })
	const path = "/x/status?name=a&wait=1h"
	etag := d.get(path).Header.Get("Etag")
	waits := d.awaitStatus(path, etag)
	d.pulled("b", r.Dir)
	d.get(path).expect(t, 200, "Etag", etag)
	r.Commit("main", map[string]string{"file": "new"})
	d.pulled("a", r.Dir)
	changed(t, <-waits, etag)
}

// TestAwaitStatusOfSlaves: a change on a slave of a slave ends a wait, and nothing else does.
func TestAwaitStatusOfSlaves(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	bottom := start(t)
	middle := start(t, "master = true", slaves(bottom.url))
	top := start(t, "master = true", slaves(middle.url))
	for _, d := range []*daemon{bottom, middle, top} {
		eventually(t, "all is read", func() bool { return !d.status("").Loading })
	}
	const path = "/x/status?wait=1h&format=json"
	etag := top.get(path).Header.Get("Etag")
	waits := top.awaitStatus(path, etag)
	top.get(path+"&upstream=1", "If-None-Match", `"another"`).expect(t, 200, "Etag", etag)
	bottom.pulled("deep", r.Dir)
	a := <-waits
	changed(t, a, etag)
	a.contains(t, `"name":"deep"`)
}

// TestStatusesThatWaitAreBounded: one that is too many is answered at once, and clients that go away
// leave nothing behind.
func TestStatusesThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	const most = 256 / 32
	d := prepare(t)
	d.ulimit = "-n 256"
	d.run()
	eventually(t, "all is read", func() bool { return !d.status("").Loading })
	etag, began := d.get("/x/status").Header.Get("Etag"), time.Now()
	idle := d.descriptors()
	ctx, goAway := withCancel(t)
	statuses := make(chan int, most+1)
	for range most + 1 {
		go func() {
			r, err := http.NewRequestWithContext(ctx, "GET", d.url+"/x/status?wait=1h", nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("If-None-Match", etag)
			a, err := client.Do(r)
			if err != nil { // it has gone
				statuses <- 0
				return
			}
			a.Body.Close()
			statuses <- a.StatusCode
		}()
	}
	if got := <-statuses; got != 304 {
		t.Errorf("one too many is answered %d", got)
	}
	goAway()
	for range most {
		if got := <-statuses; got != 0 {
			t.Errorf("one that waits is answered %d", got)
		}
	}
	eventually(t, "connections are closed", func() bool { return d.descriptors() <= idle })
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	for kind, n := range d.goroutines() {
		if strings.Contains(kind, "ServeHTTP") || strings.Contains(kind, "handleStatus") {
			t.Errorf("%d goroutines are left in %s", n, kind)
		}
	}
	d.run()
}

// TestStatusSince: a cursor leads to what has changed since, and to all where that is not known.
func TestStatusSince(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t, fmt.Sprintf("token = %q", token), `check = "0"`, "maintenance = false")
	post := func(name string) { d.postAs("Bearer "+token, name, r.Dir).expect(t, 200) }
	post("a")
	post("b")
	eventually(t, "all is read", func() bool { return !d.status("").Loading })
	type document struct {
		Cursor  string
		Full    bool
		Total   int
		Mirrors []struct{ Name, State string }
		Removed []string
	}
	ask := func(query string) (doc document) {
		t.Helper()
		a := d.get("/x/status?format=json"+query).expect(t, 200)
		if err := json.Unmarshal(a.body, &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	tells := func(doc document, mirrors ...string) {
		t.Helper()
		var names []string
		for _, m := range doc.Mirrors {
			names = append(names, m.Name)
		}
		if doc.Full || !slices.Equal(names, mirrors) || doc.Total != 2 && len(doc.Removed) == 0 {
			t.Errorf("%+v, want %v", doc, mirrors)
		}
	}
	first := ask("")
	since := func(doc document) string { return "&since=" + doc.Cursor }
	tells(ask(since(first)))
	post("b")
	second := ask(since(first))
	tells(second, "b")
	tells(ask(since(second)))
	if one := ask(since(first) + "&name=a"); len(one.Mirrors) != 0 {
		t.Errorf("%+v", one)
	}
	if one := ask(since(first) + "&name=b"); len(one.Mirrors) != 1 {
		t.Errorf("%+v", one)
	}

	waits := make(chan document)
	go func() { waits <- ask(since(second) + "&wait=1h&progress=0") }()
	d.do("DELETE", "/a", nil, "Authorization", "Bearer "+token).expect(t, 200)
	third := <-waits
	if tells(third); !slices.Equal(third.Removed, []string{"a"}) {
		t.Errorf("%+v", third)
	}
	began := time.Now()
	if one := ask(since(ask("&progress=0")) + "&wait=50ms&progress=0&name=b"); len(one.Mirrors) != 0 {
		t.Errorf("%+v", one)
	}
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("it has waited for %s", took)
	}
	for _, text := range []string{"", "nonsense", "x-1-2", first.Cursor + "0", strings.Repeat("9", 10000)} {
		if doc := ask("&since=" + text); !doc.Full || len(doc.Mirrors) != 1 {
			t.Errorf("since %.20q: %+v", text, doc)
		}
	}
	d.get("/x/status?format=toml&since="+first.Cursor).contains(t, `removed = ["a"]`)
	d.get("/x/status?since="+first.Cursor).contains(t, "└─ a\n")
	d.get("/x/status?upstream=1&since="+first.Cursor).expect(t, 400)
	d.get("/x/status?name=nobody&since="+first.Cursor).expect(t, 404)
	d.stop()
	d.run()
	if doc := ask(since(third)); !doc.Full {
		t.Errorf("after a restart: %+v", doc)
	}
}

// TestARenderer runs the loop that docs/clients.md shows.
func TestARenderer(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	r, dir := newOrigin(t), t.TempDir()
	d := start(t)
	d.pulled("jack/configs", r.Dir)
	write(t, filepath.Join(dir, "render"), "#!/bin/sh\ntar xOf \"$1\" file\n")
	if err := os.Chmod(filepath.Join(dir, "render"), 0o755); err != nil {
		t.Fatal(err)
	}
	said := &logText{}
	cmd := exec.Command("bash", "-c", adapt(t, blocks(t, "clients.md", "bash")[0], "http://sould.local", d.url))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	want := "1"
	eventually(t, "it has rendered what is there", func() bool { return said.String() == want })
	for i := range 3 {
		content := fmt.Sprint(" then ", i)
		r.Commit("main", map[string]string{"file": content})
		d.pulled("jack/configs", r.Dir)
		want += content
		eventually(t, "it has rendered what was pushed", func() bool { return said.String() == want })
	}
}
