package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// status is what /x/status answers as JSON.
type status struct {
	Address, Role, ID, Version, Error string
	HierarchicalError                 string `json:"hierarchical_error"`
	Total                             int
	Loading                           bool
	Mirrors                           []mirrorStatus
	Upstream                          *upstream
}

type mirrorStatus struct {
	Name, State, Origin, Branch, Revision, Fingerprint, From, Error string
	ModifyDate                                                      int64 `json:"modify_date"`
	Refs                                                            int
	Checked                                                         int64
	CheckError                                                      string `json:"check_error"`
	Mended                                                          int64
	Kept                                                            []kept
	Warnings                                                        []warning
	HookBrokenSince                                                 int64 `json:"hook_broken_since"`
}

type warning struct {
	ID, Object string
	Count      int
}

type kept struct {
	Ref, Commit string
	Date        int64
}

type upstream struct {
	Total, Error, Failed, Success int
	ErrorPercent                  float64 `json:"error_percent"`
	FailedPercent                 float64 `json:"failed_percent"`
	SuccessPercent                float64 `json:"success_percent"`
	Slaves                        []status
}

// status asks for the status as JSON. The query begins with an ampersand.
func (d *daemon) status(query string) status {
	d.t.Helper()
	a := d.get("/x/status?format=json"+query).expect(d.t, 200, "Content-Type", "application/json")
	var s status
	if err := json.Unmarshal(a.body, &s); err != nil {
		d.t.Fatalf("%v in %s", err, a.body)
	}
	return s
}

func TestStatusOfASlave(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	server := origin.ServeHTTP(t, root)
	server.Require("jack", "secret")
	r := origin.New(t, filepath.Join(root, "r.git"))
	tip := r.Commit("main", map[string]string{"file": "1"})
	r.Git("tag", "v1", "main")
	d := start(t)
	if s := d.status(""); s.Role != "slave" || s.Total != 0 || s.ID == "" || s.Version == "" || s.Upstream != nil {
		t.Errorf("%+v", s)
	}
	d.get("/x/status").expect(t, 200, "Content-Type", "text/plain; charset=utf-8").contains(t, "status\n├─ role: slave\n")
	login := strings.Replace(server.URL, "://", "://jack:secret@", 1)
	d.pulled("pool/x", login+"/r.git")
	a := d.get("/pool/x")
	date, err := http.ParseTime(a.Header.Get("X-Date"))
	if err != nil {
		t.Fatal(err)
	}
	s := d.status("")
	if s.Total != 1 || len(s.Mirrors) != 1 {
		t.Fatalf("%+v", s)
	}
	want := mirrorStatus{
		Name: "pool/x", State: "success", Origin: server.URL + "/r.git", Branch: "refs/heads/main", Revision: tip,
		Fingerprint: s.Mirrors[0].Fingerprint, From: "origin", ModifyDate: date.Unix(), Refs: 2,
	}
	if !reflect.DeepEqual(s.Mirrors[0], want) || len(want.Fingerprint) != 64 {
		t.Errorf("got\n%+v\nwant\n%+v", s.Mirrors[0], want)
	}
	d.get("/x/status?format=toml").expect(t, 200, "Content-Type", "application/toml").
		contains(t, "role = \"slave\"\ntotal = 1\n", "\n[[mirrors]]\nname = \"pool/x\"\nstate = \"success\"\n")
	d.get("/x/status").contains(t, "└─ mirrors\n   └─ pool/x\n      ├─ state: success\n")

	server.Close()
	d.post("pool/x", login+"/r.git").expect(t, 500)
	s = d.status("")
	failed := s.Mirrors[0]
	if failed.State != "failed" || failed.Error == "" || failed.Revision != tip || failed.ModifyDate != want.ModifyDate {
		t.Errorf("%+v", failed)
	}
	for _, format := range []string{"json", "toml", "hierarchical"} {
		if text := d.get("/x/status?format=" + format).text(); strings.Contains(text, "secret") || strings.Contains(text, "jack") {
			t.Errorf("credentials in %s", text)
		}
	}
}

func TestStatusIsConditional(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("a", r.Dir)
	d.pulled("b", r.Dir)
	eventually(t, "all is read", func() bool { return !d.status("").Loading })
	for _, path := range []string{"/x/status", "/x/status?format=json", "/x/status?format=toml", "/x/status?name=a"} {
		first := d.get(path).expect(t, 200)
		tag := first.Header.Get("Etag")
		if !strings.HasPrefix(tag, `"`) {
			t.Errorf("%s: ETag %s", path, tag)
		}
		if a := d.get(path, "If-None-Match", tag).expect(t, 304, "Etag", tag); len(a.body) > 0 {
			t.Errorf("%s: a body with 304", path)
		}
		if a := d.do("HEAD", path, nil).expect(t, 200, "Etag", tag); len(a.body) > 0 || a.ContentLength != int64(len(first.body)) {
			t.Errorf("%s: HEAD: %d bytes, length %d", path, len(a.body), a.ContentLength)
		}
		r.Commit("main", map[string]string{"file": path})
		d.pulled("a", r.Dir)
		if a := d.get(path, "If-None-Match", tag).expect(t, 200); a.Header.Get("Etag") == tag {
			t.Errorf("%s: the ETag is the same after a pull", path)
		}
	}
	if s := d.status("&name=b"); s.Total != 1 || len(s.Mirrors) != 1 || s.Mirrors[0].Name != "b" {
		t.Errorf("%+v", s)
	}
	d.get("/x/status?name=c").expect(t, 404)
	d.get("/x/status", "Accept", "application/json").expect(t, 200, "Content-Type", "application/json")
	for _, path := range []string{"/x/status?format=xml", "/x/status?nmae=a", "/x/status?name=../a", "/x/status?name=a&name=b"} {
		d.get(path).expect(t, 400)
	}
	d.do("POST", "/x/status", nil).expect(t, 405, "Allow", "GET, HEAD")
	d.do("DELETE", "/x/health", nil).expect(t, 405, "Allow", "GET, HEAD")
	d.get("/x").expect(t, 404)
	d.get("/x/other").expect(t, 404)
}

// TestStatusAfterAStart: all mirrors are known after a start, without a process, also
// those that were copied in or cannot be read.
func TestStatusAfterAStart(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("a", r.Dir)
	d.pulled("deep/er/b", r.Dir)
	d.pulled("broken", r.Dir)
	before := d.status("").Mirrors
	d.stop()

	if err := os.Mkdir(filepath.Join(d.mirror("broken"), "reftable"), 0o755); err != nil { // nothing that heals
		t.Fatal(err)
	}
	calls := d.countGit()
	d.run()
	atStart := calls()
	var s status
	eventually(t, "all is read", func() bool { s = d.status(""); return !s.Loading })
	if n := calls() - atStart; n != 0 {
		t.Errorf("%d processes were started", n)
	}
	if len(s.Mirrors) != 3 || !reflect.DeepEqual(s.Mirrors[0], before[0]) || !reflect.DeepEqual(s.Mirrors[2], before[2]) {
		t.Errorf("got\n%+v\nwas\n%+v", s.Mirrors, before)
	} else if m := s.Mirrors[1]; m.Name != "broken" || m.State != "failed" || !strings.Contains(m.Error, "reftable") {
		t.Errorf("%+v", m)
	}

	origin.New(t, d.mirror("copied/in"), "--bare")
	if err := os.RemoveAll(d.mirror("a")); err != nil {
		t.Fatal(err)
	}
	d.signal(syscall.SIGHUP) // looks at once
	eventually(t, "what was done by hand is noticed", func() bool {
		s = d.status("")
		return !s.Loading && len(s.Mirrors) == 3 && s.Mirrors[1].Name == "copied/in" && s.Mirrors[1].State == "unknown"
	})
	d.get("/x/status?name=a").expect(t, 404)
}

func TestStatusWhileAMirrorIsBuilt(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	root := filepath.Dir(r.Dir)
	server := origin.ServeHTTP(t, root)
	held := newHold(t)
	server.Before(func(*http.Request) { held.wait() })
	d := start(t)
	a := d.post("new", server.URL+"/origin.git", "wait", "1").expect(t, 202).contains(t, "/x/status?name=new tells when it is done")
	path := "/x/status?name=new&format=json"
	if !strings.Contains(d.get(path).text(), `"state":"processing"`) {
		t.Errorf("after %s: %s", a.text(), d.get(path).text())
	}
	if s := d.status(""); s.Total != 1 || len(s.Mirrors) != 1 || s.Mirrors[0].State != "processing" {
		t.Errorf("%+v", s)
	}
	held.release()
	eventually(t, "the mirror is there", func() bool { return strings.Contains(d.get(path).text(), `"state":"success"`) })
}

func TestStatusOfAMaster(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	slave := start(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	m := start(t, "master = true", "timeout = 5000", slaves(slave.url, gone.URL))
	m.post("a", r.Dir).expect(t, 502)
	s := m.status("")
	u := s.Upstream
	if s.Role != "master" || u == nil || u.Total != 2 || u.Error != 1 || u.ErrorPercent != 50 || u.Success != 1 || u.SuccessPercent != 50 || len(u.Slaves) != 2 {
		t.Fatalf("%+v", s)
	}
	up, down := u.Slaves[0], u.Slaves[1]
	if up.Address != strings.TrimPrefix(slave.url, "http://") || up.Role != "slave" || up.Total != 1 || up.ID == s.ID || up.Error != "" ||
		len(up.Mirrors) != 1 || up.Mirrors[0].Fingerprint != s.Mirrors[0].Fingerprint {
		t.Errorf("%+v", up)
	}
	if down.Total != 0 || down.Role != "" || !strings.Contains(down.Error, "refused") || !strings.Contains(down.HierarchicalError, "refused") {
		t.Errorf("%+v", down)
	}
	m.get("/x/status").contains(t, "├─ success: 1 (50.00%)\n", "├─ error: 1 (50.00%)\n", "      ├─ "+up.Address+"\n      │  ├─ role: slave\n", "└─ error\n")
	if s := m.status("&upstream=0"); s.Upstream != nil || len(s.Mirrors) != 1 {
		t.Errorf("%+v", s)
	}

	// What happens on a slave changes the master's ETag.
	tag := m.get("/x/status").Header.Get("Etag")
	m.get("/x/status", "If-None-Match", tag).expect(t, 304)
	slave.pulled("b", r.Dir)
	m.get("/x/status", "If-None-Match", tag).expect(t, 200)
	m.get("/x/status?name=b").expect(t, 404)
	one := m.status("&name=a")
	if got := one.Upstream.Slaves[0]; one.Total != 1 || got.Total != 1 || len(got.Mirrors) != 1 || got.Mirrors[0].Name != "a" {
		t.Errorf("%+v", one)
	}
}

// TestStatusInACascade: answers nest, and a ring of masters ends.
func TestStatusInACascade(t *testing.T) {
	t.Parallel()
	bottom := start(t)
	middle := start(t, "master = true", slaves(bottom.url))
	top := start(t, "master = true", slaves(middle.url))
	s := top.status("")
	if s.Upstream.Success != 1 || s.Upstream.Slaves[0].Upstream == nil ||
		s.Upstream.Slaves[0].Upstream.Slaves[0].ID != bottom.status("").ID {
		t.Errorf("%+v", s)
	}
	top.get("/x/status").contains(t, "      └─ "+strings.TrimPrefix(middle.url, "http://"), "            └─ "+strings.TrimPrefix(bottom.url, "http://"))

	middle.reload("master = true", slaves(top.url), "listen = \""+strings.TrimPrefix(middle.url, "http://")+"\"")
	s = top.status("")
	back := s.Upstream.Slaves[0].Upstream.Slaves[0]
	if back.ID != s.ID || back.Upstream != nil || back.Error != "" {
		t.Errorf("%+v", back)
	}
	top.reload("master = true", slaves(top.url), "listen = \""+strings.TrimPrefix(top.url, "http://")+"\"")
	if u := top.status("").Upstream; u.Total != 0 || len(u.Slaves) != 0 { // it is its own slave
		t.Errorf("%+v", u)
	}
}

// TestUnchangedSlavesAnswerShortly: a slave that has not changed sends nothing again.
func TestUnchangedSlavesAnswerShortly(t *testing.T) {
	t.Parallel()
	slave := start(t)
	slave.pulled("a", newOrigin(t).Dir)
	eventually(t, "all is read", func() bool { return !slave.status("").Loading })
	statuses := make(chan int, 10)
	m := start(t, "master = true", slaves(answering(t, slave.url, statuses)))
	for _, want := range []int{200, 304, 304} {
		if s := m.status(""); len(s.Upstream.Slaves[0].Mirrors) != 1 {
			t.Errorf("%+v", s)
		}
		if got := <-statuses; got != want {
			t.Errorf("the slave answered %d, want %d", got, want)
		}
	}
}

func TestStatusOfStrangeSlaves(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	hold := newHold(t)
	strange := []struct {
		answer http.HandlerFunc
		want   string // in the error
	}{
		{text(200, "nonsense"), "its status is invalid"},
		{text(200, `{"role":"slave","total":1,"mirrors":[{"name":"a"`), "breaks off"},
		{text(200, "<html><body>Welcome!</body></html>"), "a page"},
		{text(500, "<html>oops</html>"), "500"},
		{text(503, "not now\x1b[31m https://jack:secret@h/\x00"), "not now[31m https://***@h/"},
		{text(304, ""), "304"},
		{text(200, `{"role":"slave","total":2,"mirrors":[{"name":"../../a"},{"name":"b"}]}`), "1 of its mirrors have invalid names"},
		{func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				followed.Store(true)
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "redirect"},
		{func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"role":"slave","total":1,"junk":"`)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		}, "a part of it has more than"},
		{func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		{func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-hold.c:
			}
		}, "no answer within 3s"},
	}
	var urls []string
	for _, s := range strange {
		server := httptest.NewServer(s.answer)
		t.Cleanup(server.Close)
		urls = append(urls, server.URL)
	}
	m := start(t, "master = true", "timeout = 3000", slaves(urls...))
	s := m.status("")
	if u := s.Upstream; u.Total != len(strange) || u.Error != len(strange) || u.Success != 0 || u.ErrorPercent != 100 {
		t.Errorf("%+v", u)
	}
	for i, slave := range s.Upstream.Slaves {
		if !strings.Contains(slave.Error, strange[i].want) || strings.ContainsAny(slave.Error, "\n\x1b\x00") || strings.Contains(slave.Error, "secret") {
			t.Errorf("slave %d: %q, want %q", i, slave.Error, strange[i].want)
		}
	}
	if followed.Load() {
		t.Error("a redirect was followed")
	}
	hold.release()
}

func TestHealth(t *testing.T) {
	t.Parallel()
	d := start(t)
	d.get("/x/health").expect(t, 200).contains(t, "ok")
	if a := d.do("HEAD", "/x/health", nil).expect(t, 200); len(a.body) > 0 {
		t.Error("HEAD with a body")
	}
	probe := filepath.Join(d.storage, ".sould", "health")
	if _, err := os.Stat(probe); err == nil {
		t.Error("something is left behind")
	}
	// Nobody, root included, can write this file.
	if err := os.MkdirAll(filepath.Join(probe, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server is not well", func() bool {
		a := d.get("/x/health")
		return a.StatusCode == 503 && strings.Contains(a.text(), "can't use the storage")
	})
	if err := os.RemoveAll(probe); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server is well again", func() bool { return d.get("/x/health").StatusCode == 200 })
}

// TestHealthOfAHangingDisk: a disk that does not answer makes the server say so, and
// neither its answer nor its end wait for it.
func TestHealthOfAHangingDisk(t *testing.T) {
	t.Parallel()
	d := start(t)
	// Opening a fifo that nobody reads hangs.
	if err := syscall.Mkfifo(filepath.Join(d.storage, ".sould", "health"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.get("/x/health").expect(t, 503).contains(t, "could not be written within")
	d.get("/x/health").expect(t, 503)
	d.get("/x/status").expect(t, 200)
}

func TestStatusNameInTheQuery(t *testing.T) {
	t.Parallel()
	d := start(t)
	d.pulled("c++/x~1@y", newOrigin(t).Dir)
	s := d.status("&" + url.Values{"name": {"c++/x~1@y"}}.Encode())
	if fmt.Sprint(len(s.Mirrors), s.Total) != "1 1" {
		t.Errorf("%+v", s)
	}
}
