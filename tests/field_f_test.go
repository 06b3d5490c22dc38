package tests

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// hostileSlave answers POSTs and requests for the status with anything.
func hostileSlave(t *testing.T, post, status http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost {
			post(w, r)
		} else {
			status(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// asJSON answers with a status and JSON.
func asJSON(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// asGzip answers as asJSON does, compressed whether that was asked for or not.
func asGzip(status int, text string) http.HandlerFunc {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		_, _ = w.Write(b.Bytes())
	}
}

// TestFieldForeignWords: what another server says takes no more memory and words than is due
// to it, and what is left out is not left out without a word.
func TestFieldForeignWords(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	r := newOrigin(t)
	nested := func(head string, n int) string {
		return strings.Repeat(head+`"slaves":[{`, n) + head + `"x":1` + strings.Repeat("}]", n)
	}
	deep := "{" + nested(`"state":"success",`, 4900) + "}"
	wide := `{"state":"success","slaves":[` + strings.Repeat(`{"state":"success"},`, 50_000) + `{}]}`
	labels := `{"state":"success","slaves":[` + strings.Repeat(`{"address":"`+strings.Repeat("x", 1000)+`","state":"success"},`, 900) + `{}]}`
	failed := `{"state":"failed","hierarchical_error":"` + strings.Repeat(`a\n`, 200_000) + `"}`
	slaves3M := `{"role":"master","total":0,"upstream":{"slaves":[` + strings.Repeat(`{},`, 3_000_000) + `{}]}}`
	mirrors := `{"role":"slave","total":2000000,"mirrors":[` + strings.Repeat(`{"name":"m"},`, 1_999_999) + `{"name":"m"}]}`
	keeps := `{"role":"slave","total":100,"mirrors":[` + strings.Repeat(`{"name":"m","kept":[`+strings.Repeat(`{},`, 300_000)+`{}]},`, 99) + `{"name":"m"}]}`
	fine := asJSON(200, `{"role":"slave","total":0}`)
	pulled := asJSON(200, `{"state":"success"}`)
	for _, c := range []struct {
		what         string
		post, status http.HandlerFunc
		code         int    // of the answer to a POST
		words        string // in it
		error        string // in the status; empty for none
	}{
		{"an answer that nests deeply", asJSON(200, deep), fine, 200, "more than 16 servers stand below each other", ""},
		{"a failure that nests deeply", asJSON(502, deep), fine, 502, "more than 16 servers stand below each other", ""},
		{"an answer of many servers", asJSON(200, wide), fine, 200, "more than 1000 servers", ""},
		{"an answer of long names", asJSON(200, labels), fine, 200, "pulled", ""},
		{"an answer that does not end", asJSON(200, strings.Replace(wide, "{}]}", strings.Repeat(" ", 9<<20), 1)), fine, 200, "left out", ""},
		{"a compressed answer", asGzip(200, deep+strings.Repeat(" ", 200<<20)), fine, 200, "encoded (gzip), which nobody asked for", ""},
		{"a failure of many lines", asJSON(500, failed), fine, 502, "a\n", ""},
		{"a status of three million servers", pulled, asJSON(200, slaves3M), 200, "pulled", "more than 1000 servers"},
		{"a compressed one", pulled, asGzip(200, slaves3M), 200, "pulled", "encoded (gzip), which nobody asked for"},
		{"a status that nests deeply", pulled, asJSON(200, strings.Repeat(`{"role":"master","upstream":{"slaves":[`, 10_000)), 200, "pulled", "more than 16 servers stand below each other"},
		{"a status of two million mirrors", pulled, asJSON(200, mirrors), 200, "pulled", "it tells more than fits into 134217728 bytes"},
		{"a status of lost refs", pulled, asJSON(200, keeps), 200, "pulled", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := start(t, "master = true", slaves(hostileSlave(t, c.post, c.status)), `timeout = "60s"`)
			a := d.post("m", r.Dir).expect(t, c.code).contains(t, c.words)
			if len(a.body) > 200_000 {
				t.Errorf("the answer has %d bytes", len(a.body))
			}
			d.do("POST", "/", form("m", r.Dir), "Content-Type", formType, "Accept", "application/json").expect(t, c.code)
			for _, format := range []string{"json", "toml", "hierarchical"} {
				s := d.get("/x/status?format="+format).expect(t, 200)
				if len(s.body) > 200_000 {
					t.Errorf("the status as %s has %d bytes", format, len(s.body))
				}
				if !strings.Contains(s.text(), c.error) || (format == "json") && strings.Contains(s.text(), `"error":"`) != (c.error != "") {
					t.Errorf("the status as %s says %.400s", format, s.text())
				}
			}
			most := d.kernel("VmHWM") >> 10
			t.Logf("%d MB at most, an answer of %d bytes", most, len(a.body))
			if most > 384 {
				t.Errorf("it took %d MB", most)
			}
		})
	}
}

// mesh starts masters that are each other's slaves. The lines are for all of them.
func mesh(t *testing.T, n int, lines ...string) []*daemon {
	t.Helper()
	var all []*daemon
	var listen []string
	for range n {
		d := start(t, append(lines, `listen = "127.0.0.1:`+freePort(t)+`"`)...)
		all, listen = append(all, d), append(listen, `listen = "`+strings.TrimPrefix(d.url, "http://")+`"`)
	}
	for i, d := range all {
		var others []string
		for j, other := range all {
			if i != j {
				others = append(others, other.url)
			}
		}
		d.reload(append(lines, "master = true", listen[i], slaves(others...))...)
	}
	return all
}

// TestFieldMeshOfMasters: masters that point at each other do each request once.
func TestFieldMeshOfMasters(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	all := mesh(t, 6)
	for round := 1; round <= 3; round++ {
		tip := r.Commit("main", map[string]string{"file": fmt.Sprint("round", round)})
		a := all[0].pulled("m", r.Dir)
		if n := strings.Count(a.text(), tip[:12]); n != len(all) {
			t.Errorf("the answer tells of %d servers:\n%s", n, a.text())
		}
		for _, d := range all {
			d.get("/m").expect(t, 200, "X-Revision", tip)
			d.logged("INFO pulled mirror=m", round)
			d.logged("propagated mirror=m", round)
		}
	}
	// One that cannot is told of, and makes the others not fail.
	address := strings.TrimPrefix(all[5].url, "http://")
	all[5].stop()
	a := all[0].post("m", r.Dir).expect(t, 502).contains(t, "slave "+address, "connection refused", "pulled: master")
	if len(a.body) > 8000 {
		t.Errorf("the answer has %d bytes:\n%s", len(a.body), a.text())
	}
	// Where the origin is gone, nobody has pulled.
	all[0].post("n", r.Dir+".none").expect(t, 503)
}

// TestFieldMeshDeletes: a DELETE goes to each server once, too.
func TestFieldMeshDeletes(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	all := mesh(t, 4, tokenLine)
	all[0].postWithToken("m", r.Dir).expect(t, 200)
	all[1].remove("m").expect(t, 200)
	for _, d := range all {
		if exists(d.mirror("m")) {
			t.Errorf("%s still has it", d.url)
		}
		d.logged("propagated mirror=m", 2)
	}
}

// TestFieldStatusOfAMesh: seven masters that point at each other tell of themselves at once.
func TestFieldStatusOfAMesh(t *testing.T) {
	t.Parallel()
	all := mesh(t, 7)
	began := time.Now()
	s := all[0].status("")
	took := time.Since(began)
	t.Logf("it took %s", took)
	ids := make(map[string]bool)
	var look func(s status, depth int)
	look = func(s status, depth int) {
		ids[s.ID] = true
		if s.Error != "" || depth > len(all) {
			t.Errorf("%s says %s at depth %d", s.Address, s.Error, depth)
		}
		if s.Upstream != nil {
			for _, slave := range s.Upstream.Slaves {
				look(slave, depth+1)
			}
		}
	}
	look(s, 0)
	if len(ids) != len(all) {
		t.Errorf("it tells of %d servers", len(ids))
	}
}

// TestFieldServerWithTwoAddresses: the same server twice in the list of slaves is asked twice
// and works once.
func TestFieldServerWithTwoAddresses(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	below := start(t)
	slave := start(t, "master = true", slaves(below.url))
	port := slave.url[strings.LastIndex(slave.url, ":"):]
	d := start(t, "master = true", slaves("127.0.0.1"+port, "localhost"+port), `repair = "200ms"`)
	d.pulled("m", r.Dir).contains(t, "127.0.0.1"+port, "localhost"+port)
	slave.logged("INFO pulled mirror=m", 1)
	below.logged("INFO pulled mirror=m", 1)
	if u := d.status("").Upstream; u.Total != 2 || u.Error != 0 {
		t.Errorf("%+v", u)
	}
	below.stop()
	d.post("m", r.Dir).expect(t, 502).contains(t, "slave 127.0.0.1"+port, "slave localhost"+port, "connection refused")
}

// TestFieldElsewhere: a slave that says that it is at work for another server, which nobody
// knows of, has not pulled.
func TestFieldElsewhere(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	liar := hostileSlave(t, asJSON(208, `{"state":"elsewhere","id":"whoever"}`), asJSON(200, `{}`))
	between := start(t, "master = true", slaves(liar))
	d := start(t, "master = true", slaves(liar))
	d.post("m", r.Dir).expect(t, 502).contains(t, "no server tells what became of it there", "pulled: master")
	d = start(t, "master = true", slaves(between.url))
	d.post("m", r.Dir).expect(t, 502).contains(t, "no server tells what became of it there", "pulled: master")
}

// TestFieldBlackHole: a slave that is known not to answer is not waited for as long as the
// first time, and the pusher reads its name in any case.
func TestFieldBlackHole(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	repo := origin.New(t, filepath.Join(root, "r.git"))
	repo.Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	hole, slave := origin.BlackHole(t), start(t)
	d := start(t, "master = true", slaves(hole, slave.url), `timeout = "12s"`)
	url := server.URL + "/r.git"
	p := newPusher(t, repo, url, "sould.url", d.url, "sould.name", "m", "sould.origin", url, "sould.wait", "6")
	if seen := p.push(); !strings.Contains(seen, "slave "+hole+"\n│  └─ no answer yet") {
		t.Errorf("the pusher sees\n%s", seen)
	}
	d.wait(`not on all servers mirror=m`)
	seen := p.push()
	if !regexp.MustCompile(`slave ` + hole + `\n│  └─ no connection within 2s, and no answer the last time either\n└─ pulled: master`).MatchString(seen) {
		t.Errorf("the pusher sees\n%s", seen)
	}
}

// TestFieldOlderServers: one that knows no ids of requests still ends a ring.
func TestFieldOlderServers(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	var seen sync.Map
	a := start(t)
	older := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !anyRequest(q) {
			return
		}
		id := q.Header.Get("Sould-Request")
		if _, again := seen.LoadOrStore(id, true); again || id == "" {
			t.Errorf("a request has the id %q", id)
		}
		body, _ := io.ReadAll(q.Body)
		onward, err := http.NewRequest(q.Method, a.url+q.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		onward.Header.Set("Content-Type", formType)
		onward.Header.Set("Sould-Via", q.Header.Get("Sould-Via")+", older")
		answer, err := http.DefaultClient.Do(onward)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	t.Cleanup(older.Close)
	a.reload("master = true", slaves(older.URL))
	a.pulled("m", r.Dir)
	a.do("POST", "/", form("m", r.Dir), "Content-Type", formType, "Sould-Via", "x", "Sould-Request", "no id\"").expect(t, 400)
	a.do("POST", "/", form("m", r.Dir), "Content-Type", formType, "Sould-Via", "x", "Sould-Request", strings.Repeat("x", 65)).expect(t, 400)
	// A client's own id is none: two of its requests are two.
	tip := r.Commit("main", map[string]string{"file": "new"})
	for range 2 {
		a.do("POST", "/", form("m", r.Dir), "Content-Type", formType, "Sould-Request", "mine").expect(t, 200)
		a.get("/m").expect(t, 200, "X-Revision", tip)
		tip = r.Commit("main", map[string]string{"file": "newer"})
	}
}
