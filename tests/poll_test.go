package tests

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// pollable is an origin over http.
type pollable struct {
	*origin.Repo
	server *origin.HTTP
	url    string
}

func newPollable(t *testing.T) *pollable {
	t.Helper()
	root := t.TempDir()
	p := &pollable{Repo: origin.New(t, filepath.Join(root, "r.git")), server: origin.ServeHTTP(t, root)}
	p.Commit("main", map[string]string{"file": "1"})
	p.url = p.server.URL + "/r.git"
	return p
}

// push makes a commit of which nobody tells the daemons.
func (p *pollable) push(content string) (revision string) {
	return p.Commit("main", map[string]string{"file": content})
}

// revision is what the mirror m is at. Reading it makes no pull.
func (d *daemon) revision() string {
	d.t.Helper()
	s := d.status("&name=m")
	if len(s.Mirrors) != 1 {
		d.t.Fatalf("%+v", s)
	}
	return s.Mirrors[0].Revision
}

// TestPoll: a master finds a change without a request, and its slave gets it. A slave does not look
// itself. A reload turns it on and off.
func TestPoll(t *testing.T) {
	t.Parallel()
	p := newPollable(t)
	slave := start(t, `poll = "1s"`)
	master := start(t, "master = true", slaves(slave.url))
	polled := func(d *daemon, want float64) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s looks at %v mirrors", d.url, want), func() bool { return d.metrics()["sould_polled_mirrors"] == want })
	}
	slave.pulled("alone", p.url)
	master.pulled("m", p.url)
	polled(slave, 1) // that of which the master has not told it
	polled(master, 0)
	if got := slave.get("/x/why/m").text(); got == "" || master.metrics()["sould_polls_total{result=\"unchanged\"}"] != 0 {
		t.Errorf("the master has looked:\n%s", got)
	}

	master.reload("master = true", slaves(slave.url), `poll = "1s"`)
	polled(master, 1)
	master.get("/x/why/m").expect(t, 200).contains(t, "Its origin is looked at about every 1 second without a request")
	tip := p.push("2")
	eventually(t, "the master has the change", func() bool { return master.revision() == tip })
	eventually(t, "the slave has the change", func() bool { return slave.revision() == tip })
	master.wait(`msg=propagated|INFO propagated .*mirror=m`)
	if n := master.metrics()[`sould_polls_total{result="changed"}`]; n != 1 {
		t.Errorf("%v looks have changed something", n)
	}

	eventually(t, "many looks", func() bool { return master.metrics()[`sould_polls_total{result="unchanged"}`] >= 2 })
	master.logged("INFO pulled mirror=m refs_changed=0", 0)

	if err := os.RemoveAll(master.mirror("m")); err != nil {
		t.Fatal(err)
	}
	master.get("/m").expect(t, 404)
	polled(master, 0)
	master.reload("master = true", slaves(slave.url))
	polled(master, 0)
}

// TestPollHeedsRateLimits: a host that asks to be left alone is, for all its mirrors, by polls and by
// readers; a POST tries, and if the host answers, the pause is over. Another host is polled meanwhile.
func TestPollHeedsRateLimits(t *testing.T) {
	t.Parallel()
	p, other := newPollable(t), newPollable(t)
	second := origin.New(t, filepath.Join(filepath.Dir(p.Dir), "second.git"))
	second.Commit("main", map[string]string{"file": "1"})
	d := start(t, "master = true", `poll = "1s"`)
	d.pulled("m", p.url)
	d.pulled("second", p.server.URL+"/second.git")
	d.pulled("other", other.url)
	var refused atomic.Int64
	p.server.Be(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		refused.Add(1)
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("Retry-After", "3000")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "not so fast")
	})
	d.wait(`WARN a host of origins asks to be left alone.* host=` + p.server.URL + ` for=50m`)
	eventually(t, "two looks at the same time at most", func() bool { return d.metrics()[`sould_origin_hosts_left_alone{reason="asked"}`] == 1 })
	before := other.server.Lists.Load()
	asked := refused.Load()
	eventually(t, "five looks at the other host", func() bool { return other.server.Lists.Load() >= before+5 })
	d.get("/m", "Cache-Control", "no-cache").expect(t, 200)
	d.get("/second").expect(t, 200)
	if n := refused.Load(); n > asked+1 { // one may have been on its way
		t.Errorf("a host that has asked to be left alone was asked %d times", n-asked)
	}
	d.get("/x/why/second").contains(t, "The host of its origin has asked to be left alone: reads and the poll do so until")
	d.post("m", p.url).expect(t, 500).contains(t, "the origin asks to come again in 50m", "not so fast")

	p.server.Be(func(w http.ResponseWriter, r *http.Request, git http.Handler) { git.ServeHTTP(w, r) })
	d.pulled("m", p.url)
	tip := p.push("2")
	eventually(t, "it is polled again", func() bool { return d.revision() == tip })
}

// TestTransferHeedsRateLimits: a host can tell its refs, and refuse objects because they are too many. It is left
// alone for as long as it says, and no repository is taken for one that is not there.
func TestTransferHeedsRateLimits(t *testing.T) {
	t.Parallel()
	p := newPollable(t)
	origin.New(t, filepath.Join(filepath.Dir(p.Dir), "second.git")).Commit("main", nil)
	d := start(t, "[[ondemand]]", `prefix = "od"`, fmt.Sprintf("origin = %q", p.server.URL+"/{path}.git"))
	d.pulled("m", p.url)
	var refused atomic.Int64
	p.server.Be(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		body, _ := io.ReadAll(r.Body)
		if r.Body = io.NopCloser(bytes.NewReader(body)); !bytes.Contains(body, []byte("want ")) {
			git.ServeHTTP(w, r)
			return
		}
		refused.Add(1)
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", "3000")
		http.Error(w, "too many objects", http.StatusForbidden)
	})
	a := d.get("/od/second").expect(t, 502).contains(t, "the origin asks to come again in 50m")
	if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || n < 1000 || n > 3000 {
		t.Errorf("the reader is to come again after %q seconds", a.Header.Get("Retry-After"))
	}
	d.wait(`WARN a host of origins asks to be left alone.* host=` + p.server.URL + ` for=50m`)
	p.push("2")
	before := refused.Load()
	d.get("/m", "Cache-Control", "no-cache").expect(t, 200)
	d.get("/od/third").expect(t, 502).contains(t, "has asked to be left alone")
	if n := refused.Load(); n != before {
		t.Errorf("it was asked %d times all the same", n-before)
	}
	d.post("m", p.url).expect(t, 500).contains(t, "the origin asks to come again in 50m")
	d.kill()
	d.run()
	before = p.server.Lists.Load() + refused.Load()
	d.get("/m", "Cache-Control", "no-cache").expect(t, 200)
	d.get("/od/third").expect(t, 502).contains(t, "has asked to be left alone")
	if n := p.server.Lists.Load() + refused.Load(); n != before {
		t.Error("a restart has forgotten it")
	}
}

// TestPollOfAHangingHost: it stops no other, and readers get what is there.
func TestPollOfAHangingHost(t *testing.T) {
	t.Parallel()
	p, bad := newPollable(t), newPollable(t)
	d := start(t, "master = true", `poll = "1s"`, "max_polls = 3")
	for n := range 5 {
		d.pulled(fmt.Sprint("bad", n), bad.url)
	}
	d.pulled("m", p.url)
	held := newHold(t)
	var hanging atomic.Int64
	bad.server.Before(func(r *http.Request) {
		hanging.Add(1)
		select {
		case <-held.c:
		case <-r.Context().Done():
		}
	})
	eventually(t, "looks that hang", func() bool { return hanging.Load() == 2 })
	for n := range 3 {
		tip := p.push(fmt.Sprint("n", n))
		eventually(t, "another host's change", func() bool { return d.revision() == tip })
	}
	if n := hanging.Load(); n != 2 {
		t.Errorf("%d looks at a host that hangs", n)
	}
	d.get("/bad0").expect(t, 200)
}

// TestBrokenHook: two changes in a row that nobody has announced are told of, across a restart, until
// an announcement comes in time. A mirror of which no hook has ever announced anything has none that could break.
func TestBrokenHook(t *testing.T) {
	t.Parallel()
	p := newPollable(t)
	byHand := newPollable(t)
	d := start(t, "master = true", `poll = "1s"`)
	d.pulled("m", p.url)
	d.pulled("by-hand", byHand.url)
	d.pulled("busy", newPollable(t).url)
	for n := range 10 { // a hook announces, and the poll may be faster
		p.push(fmt.Sprint("first", n))
		if strings.Contains(d.pulled("m", p.url).text(), "1 ref changed") {
			break
		}
	}
	looked := func() float64 {
		m := d.metrics()
		return m[`sould_polls_total{result="unchanged"}`] + m[`sould_polls_total{result="changed"}`]
	}
	const broken, words = "hook_broken_since", "the hook of a mirror seems broken"
	unannounced := func(content string, want float64) {
		t.Helper()
		before := looked()
		eventually(t, "looks before the change", func() bool { return looked() >= before+6 }) // two at each mirror
		tip := p.push(content)
		byHand.push(content)
		eventually(t, "the poll finds "+content, func() bool { return d.revision() == tip })
		eventually(t, content+" counts", func() bool { return d.metrics()["sould_unannounced_changes_total"] == want })
	}
	unannounced("2", 1)
	d.logged(words, 0)
	d.kill()
	d.run()
	unannounced("3", 1) // what is counted begins anew; the first change is remembered
	d.wait("WARN .*" + words + ".* mirror=m since=")
	unannounced("4", 2)
	d.logged(words, 1)
	seems := func() bool { return d.status("&name=m").Mirrors[0].HookBrokenSince > 0 }
	if !seems() || d.metrics()["sould_mirrors_hook_broken"] != 1 {
		t.Error("status and metrics do not tell of it, or of another mirror")
	}
	d.get("/x/status?name=m").contains(t, broken+": ")
	shows := func(path string, parts ...string) { // between two looks
		t.Helper()
		eventually(t, path+" says "+parts[0], func() bool {
			text := d.get(path, "Accept", "text/html, text/plain;q=0.9").text()
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
		})
	}
	shows("/x/why/m", "its hook seems broken since", "that nobody had announced", "See that the hook in the origin runs")
	shows("/", "Needs attention", "its hook seems broken", "state=hook")

	d.kill()
	d.run()
	if !seems() {
		t.Error("a restart has forgotten it")
	}
	d.pulled("m", p.url) // by hand, and not in time: it brings nothing
	if !seems() {
		t.Error("a POST that announces nothing has ended it")
	}
	for n := range 10 { // the poll may be faster, and its grace short
		p.push(fmt.Sprint("announced", n))
		d.pulled("m", p.url)
		if within(3*time.Second, func() bool { return !seems() }) {
			break
		}
	}
	if seems() || d.metrics()["sould_mirrors_hook_broken"] != 0 {
		t.Error("an announcement that comes in time has not ended it")
	}
	d.wait("INFO the hook of a mirror works again")
	shows("/x/why/m", "m is as its origin was on")
}

// TestPollOfFirstReads: what a read has made is looked at if its table says so, by the server that has
// made it. A first read asks no host that wants to be left alone.
func TestPollOfFirstReads(t *testing.T) {
	t.Parallel()
	p := newPollable(t)
	d := start(t, "[[ondemand]]", `prefix = "od"`, fmt.Sprintf("origin = %q", p.server.URL+"/{path}.git"), `max_age = "1h"`, `poll = "1s"`)
	d.get("/od/r").expect(t, 200)
	tip := p.push("2")
	eventually(t, "the poll finds the change", func() bool { return d.status("&name=od/r").Mirrors[0].Revision == tip })
	if n := d.metrics()["sould_unannounced_changes_total"]; n != 0 {
		t.Errorf("%v changes should have been announced", n)
	}
	var refused atomic.Int64
	p.server.Be(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		refused.Add(1)
		w.Header().Set("Retry-After", "3000")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	d.wait(`WARN a host of origins asks to be left alone`)
	asked := refused.Load()
	a := d.get("/od/other").expect(t, 502).contains(t, "the host of the origin has asked to be left alone until")
	if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || n < 1000 || n > 3000 {
		t.Errorf("the reader is to come again after %q seconds", a.Header.Get("Retry-After"))
	}
	d.get("/x/why/od/other").contains(t, "The next POST or read of it tries again.", "origin="+p.server.URL+"/other.git")
	if n := refused.Load(); n != asked {
		t.Errorf("it was asked %d times all the same", n-asked)
	}
}
