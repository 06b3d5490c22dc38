package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// slaves is a line of configuration that names these servers.
func slaves(addresses ...string) string {
	var quoted []string
	for _, a := range addresses {
		quoted = append(quoted, fmt.Sprintf("%q", strings.TrimPrefix(a, "http://")))
	}
	return "slaves = [" + strings.Join(quoted, ", ") + "]"
}

// oldSould is a server that answers a POST as a sould from before does: with a
// status and some text. It notes the forms that it was sent.
type oldSould struct {
	*httptest.Server
	mu    sync.Mutex // guards forms
	forms []url.Values
}

// sent are the forms that it was sent until now.
func (o *oldSould) sent() []url.Values {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.forms)
}

func newOldSould(t *testing.T, answer http.HandlerFunc) *oldSould {
	o := &oldSould{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		if r.Method == http.MethodPost && r.Header.Get("Sould-Peer") == "" {
			o.mu.Lock()
			o.forms = append(o.forms, form)
			o.mu.Unlock()
		}
		answer(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func text(status int, words string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, words)
	}
}

// answering stands before a server and tells the status of each of its answers.
func answering(t *testing.T, target string, statuses chan<- int) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ModifyResponse = func(r *http.Response) error {
		if anyRequest(r.Request) {
			statuses <- r.StatusCode
		}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// TestAnswersOfAServerWithoutSlaves is the middle column of the contract's table.
func TestAnswersOfAServerWithoutSlaves(t *testing.T) {
	r, other := newOrigin(t), newOrigin(t)
	d := start(t)
	d.post("m", r.Dir).expect(t, 200)
	d.post("m", r.Dir, "wait", "0").expect(t, 202).contains(t, "the work goes on", "/x/status?name=m")
	d.post("none", r.Dir+"x").expect(t, 500).contains(t, "none ("+r.Dir+"x)", "can't list refs", "does not appear to be a git repository")
	d.post("..", r.Dir).expect(t, 400)
	d.post("m", other.Dir).expect(t, 409).contains(t, "move="+r.Dir)
	d.post("m/inside", r.Dir).expect(t, 409).contains(t, "inside the mirror m")
	d.pulled("a/b", r.Dir)
	d.post("a", r.Dir).expect(t, 409).contains(t, "above the mirror a/b")
	notes := filepath.Join(d.storage, "notes")
	if err := errors.Join(os.Mkdir(notes, 0o755), os.WriteFile(filepath.Join(notes, "todo"), []byte("milk"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"notes", "notes/todo", "notes/todo/below"} {
		if a := d.post(name, r.Dir).expect(t, 500); !strings.Contains(a.text(), "notes/todo") || strings.Contains(a.text(), d.storage) {
			t.Errorf("%s: %s", name, a.text())
		}
	}
	d.pulled("notes/beside", r.Dir)
	if got := read(t, filepath.Join(notes, "todo")); got != "milk" {
		t.Errorf("the note says %q", got)
	}
	d.post("big", strings.Repeat("x", 70_000)).expect(t, 413)
	for _, name := range []string{"none", "m/inside", "big"} {
		if _, err := os.Stat(filepath.Join(d.storage, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.get("/none").expect(t, 404)
	d.wait(`ERROR can't pull mirror=none`)
	d.wait(`WARN refused .* status=409`)
}

// TestAnswersOfAMaster is the right column of the contract's table.
func TestAnswersOfAMaster(t *testing.T) {
	t.Parallel()
	r, other := newOrigin(t), newOrigin(t)
	fine, alsoFine := start(t), start(t)
	secure := prepare(t)
	secure.flags = nil // it refuses local origins
	secure.run()
	mute := origin.NewProxy(t, "127.0.0.1:1")
	mute.Set(origin.Fault{Mute: true})
	refusing := origin.NewProxy(t, "127.0.0.1:1")
	refusing.Close()
	oldFine := newOldSould(t, text(200, ""))
	oldBroken := newOldSould(t, text(500, "Oops\x1b[2J, something\nfailed at https://jack:pw@h/!"))
	redirecting := newOldSould(t, func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, oldFine.URL, http.StatusTemporaryRedirect)
	})
	broken := r.Dir + ".none"
	const patience = "5s" // with slaves that hang; the others must answer within it

	for i, c := range []struct {
		what   string
		slaves []string
		origin string
		status int
		parts  []string
	}{
		{"all pulled", []string{fine.url, alsoFine.url}, r.Dir, 200, []string{"master ", "1 ref changed"}},
		{"an older sould, too", []string{fine.url, oldFine.URL}, r.Dir, 200, []string{"pulled"}},
		{"a slave hangs", []string{mute.Addr, fine.url}, r.Dir, 502,
			[]string{"slave " + mute.Addr, "no answer within " + patience, "pulled: master, " + strings.TrimPrefix(fine.url, "http://")}},
		{"a slave refuses connections", []string{refusing.Addr}, r.Dir, 502, []string{"connection refused", "pulled: master"}},
		{"a slave answers 500", []string{oldBroken.URL}, r.Dir, 502,
			[]string{"500 Internal Server Error", "Oops[2J, something", "failed at https://***@h/!"}},
		{"a slave redirects", []string{redirecting.URL}, r.Dir, 502, []string{"redirect (307", "not followed"}},
		{"a slave answers 400", []string{secure.url}, r.Dir, 502, []string{"--unsecure"}},
		{"only the master fails", []string{oldFine.URL}, broken, 500, []string{"master", "does not appear to be a git repository", "pulled: "}},
		{"the master and one slave fail", []string{oldFine.URL, mute.Addr}, broken, 502, []string{"master", "no answer within"}},
		{"all fail", []string{fine.url, mute.Addr}, broken, 503,
			[]string{"├─ master, slave 127", "\n│  └─ can't list refs", "does not appear", "└─ slave " + mute.Addr + "\n   └─ no answer within"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			lines, name := []string{"master = true", slaves(c.slaves...)}, fmt.Sprint("m", i)
			if slices.Contains(c.slaves, mute.Addr) {
				lines = append(lines, fmt.Sprintf("timeout = %q", patience))
			}
			d := start(t, lines...)
			a := d.post(name, c.origin).expect(t, c.status).contains(t, c.parts...)
			if strings.ContainsRune(a.text(), '\x1b') || strings.Contains(a.text(), "jack") {
				t.Errorf("the answer shows what it must not:\n%s", a.text())
			}
			if c.status == 200 {
				d.wait(`INFO propagated mirror=` + name + ` slaves=\d status=200`)
			} else {
				d.wait(fmt.Sprintf(`ERROR not on all servers mirror=%s slaves=\d status=%d`, name, c.status))
				tree, link, _ := strings.Cut(a.text(), "why: ")
				if link != d.url+"/x/why/"+name+"\n" {
					t.Errorf("the last line is %q", link)
				}
				for line := range strings.Lines(tree) {
					if !strings.Contains(d.log.String(), line) {
						t.Errorf("the log has no %q", line)
					}
				}
			}
			j := d.do("POST", "/", form(name, c.origin), "Content-Type", formType, "Accept", "application/json").expect(t, c.status).report(t)
			if j.Status != c.status || j.Name != name || j.Origin != c.origin || len(j.Slaves) != len(c.slaves) {
				t.Errorf("as JSON: %+v", j)
			}
			for i, s := range j.Slaves {
				if want := strings.TrimPrefix(c.slaves[i], "http://"); s.Address != want || (s.State == "failed") != (s.Error != "") {
					t.Errorf("slave %s: %+v", want, s)
				}
			}
		})
	}

	t.Run("nothing is propagated that is refused", func(t *testing.T) {
		witness := newOldSould(t, text(200, ""))
		d := start(t, "master = true", slaves(witness.URL))
		d.pulled("m", r.Dir)
		seen := len(witness.sent())
		d.post("m", other.Dir).expect(t, 409)
		d.post("m/x", r.Dir).expect(t, 409)
		d.post("-", r.Dir).expect(t, 400)
		d.post("n", "ext::sh").expect(t, 400)
		if len(witness.sent()) != seen {
			t.Errorf("a slave was asked: %v", witness.sent()[seen:])
		}
		d.post("m", r.Dir, "wait", "0").expect(t, 202)
		d.wait(`propagated mirror=m slaves=1 status=200 (?s:.*)propagated`)
	})
}

func TestMasterPassesOnWhatItWasTold(t *testing.T) {
	r := newOrigin(t)
	root := filepath.Dir(r.Dir)
	server := origin.ServeHTTP(t, root)
	server.Require("jack", "s3cret/@:word")
	witness, slave := newOldSould(t, text(200, "")), start(t)
	d := start(t, "master = true", slaves(witness.URL, slave.url), `timeout = "10s"`)
	u, err := url.Parse(server.URL + "/origin.git")
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("jack", "s3cret/@:word")
	d.pulled("m", r.Dir)
	d.pulled("m", u.String(), "accept", "deletions", "move", r.Dir, "wait", "1h", "unknown", "field")
	got := witness.sent()[1]
	for key, want := range map[string]string{
		"name": "m", "origin": u.String(), "accept": "deletions", "move": r.Dir, "wait": "9000", "unknown": "",
	} {
		if got.Get(key) != want {
			t.Errorf("%s is passed on as %q, want %q", key, got.Get(key), want)
		}
	}
	if slave.get("/m").expect(t, 200, "X-State", "success"); strings.Contains(slave.log.String()+d.log.String(), "s3cret") {
		t.Error("a password is in a log")
	}

	// The password serves later pulls, also after a restart, and is replaced.
	r.Commit("main", map[string]string{"f": "new"})
	d.stop()
	d.run()
	d.get("/m").expect(t, 200, "X-State", "success", "X-Revision", r.Git("rev-parse", "main"))
	server.Require("jack", "another-word")
	d.get("/m", "Cache-Control", "no-cache").expect(t, 200, "X-State", "failed")
	u.User = url.UserPassword("jack", "another-word")
	d.pulled("m", u.String())
	d.get("/m", "Cache-Control", "no-cache").expect(t, 200, "X-State", "success")
	if strings.Contains(d.log.String(), "another-word") || strings.Contains(d.log.String(), "s3cret") {
		t.Errorf("a password is in the log:\n%s", d.log)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	server := origin.ServeHTTP(t, root)
	held := newHold(t)
	server.Before(func(q *http.Request) {
		if q.Method == "POST" {
			held.wait()
		}
	})
	slave := start(t)
	answered := make(chan int, 8)
	between := answering(t, slave.url, answered)
	// The slave's answer has a tenth of it to come, also on a machine that is busy.
	d := start(t, "master = true", slaves(between), `timeout = "10s"`)

	// A client that does not want to wait learns what is known so far.
	d.post("m", server.URL+"/r.git", "wait", "0").expect(t, 202).contains(t, "├─ master", "└─ no answer yet", "/x/status?name=m")
	a := d.post("m", server.URL+"/r.git", "wait", "300ms").expect(t, 202)
	after := regexp.MustCompile(`not finished after ([0-9.]+)s`).FindStringSubmatch(a.text())
	if after == nil {
		t.Fatalf("it does not say how long it has waited:\n%s", a.text())
	}
	if waited, err := strconv.ParseFloat(after[1], 64); err != nil || waited < 0.3 || waited >= 9 { // when the slave answers
		t.Errorf("it has waited for %ss, %v", after[1], err)
	}
	d.get("/m").expect(t, 404, "Retry-After", "1").contains(t, "first time")

	// A slave that is busy says so in time, which counts as failed.
	answers := make(chan answer)
	go func() { answers <- d.post("m", server.URL+"/r.git") }()
	for range 3 {
		select {
		case status := <-answered:
			if status != 202 {
				t.Errorf("the slave answered %d", status)
			}
		case <-time.After(patient):
			t.Fatal("the slave has answered nothing")
		}
	}
	held.release()
	(<-answers).expect(t, 502).contains(t, "it is still at work (fetching), and goes on", "pulled: master")
	eventually(t, "the first clone", func() bool { return d.get("/m").StatusCode == 200 && slave.get("/m").StatusCode == 200 })
	d.pulled("m", server.URL+"/r.git", "wait", "1h").contains(t, "unchanged")
	d.post("m", server.URL+"/r.git", "wait", "-1").expect(t, 400)
	d.post("m", server.URL+"/r.git", "wait", "soon").expect(t, 400)
}

func TestAClientThatGoesAwayDoesNotStopTheWork(t *testing.T) {
	url, arrived, held := heldOrigin(t)
	slave := start(t)
	d := start(t, "master = true", slaves(slave.url))
	impatient := http.Client{}
	gone := make(chan error)
	request, err := http.NewRequest("POST", d.url, form("m", url))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", formType)
	cancelled, cancel := withCancel(t)
	go func() {
		_, err := impatient.Do(request.WithContext(cancelled))
		gone <- err
	}()
	<-arrived
	<-arrived // both servers are at work
	cancel()
	if err := <-gone; err == nil {
		t.Error("the client got an answer")
	}
	held.release()
	eventually(t, "the mirrors", func() bool { return d.get("/m").StatusCode == 200 && slave.get("/m").StatusCode == 200 })
	d.wait("propagated mirror=m")
}

// TestTwoOriginsForOneNewName: of two requests at once that want a mirror to be
// different things, one is refused, before any slave is asked.
func TestTwoOriginsForOneNewName(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a.git", "b.git"} {
		origin.New(t, filepath.Join(root, name)).Commit("main", nil)
	}
	server := origin.ServeHTTP(t, root)
	arrived, held := make(chan bool, 8), newHold(t)
	server.Before(func(*http.Request) { arrived <- true; held.wait() })
	witness := newOldSould(t, text(200, ""))
	d := start(t, "master = true", slaves(witness.URL))
	first := make(chan answer)
	go func() { first <- d.post("m", server.URL+"/a.git") }()
	<-arrived
	d.post("m", server.URL+"/b.git").expect(t, 409).contains(t, "another request is just giving the mirror the origin "+server.URL+"/a.git")
	d.post("m/inside", server.URL+"/b.git").expect(t, 409)
	held.release()
	(<-first).expect(t, 200)
	d.post("m", server.URL+"/b.git").expect(t, 409).contains(t, "move=")
	if len(witness.sent()) != 1 {
		t.Errorf("the slave was asked %d times", len(witness.sent()))
	}
}

// TestTwoMastersOfEachOther, as in the middle of a change of roles.
func TestTwoMastersOfEachOther(t *testing.T) {
	r := newOrigin(t)
	a, b := start(t), start(t)
	a.reload("master = true", slaves(b.url))
	b.reload("master = true", slaves(a.url))
	a.pulled("m", r.Dir).contains(t, "master", strings.TrimPrefix(b.url, "http://"))
	a.logged("propagated", 1)
	for _, d := range []*daemon{a, b} {
		if n := strings.Count(d.log.String(), "INFO pulled mirror=m"); n > 2 {
			t.Errorf("%d pulls", n)
		}
	}
	forged := strings.Repeat("x,", 20)
	a.do("POST", "/", form("m", r.Dir), "Content-Type", formType, "Sould-Via", forged).expect(t, 400)
}

// TestWordsOfASlaveAreCleaned, also where they are no error.
func TestWordsOfASlaveAreCleaned(t *testing.T) {
	r := newOrigin(t)
	evil := newOldSould(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"status": 200, "state": "success", "revision": "\x1b[2Jred", "branch": "refs/heads/\x07main",
			"slaves": []map[string]any{{"address": "bell\x07\nremote: forged", "state": "success", "revision": strings.Repeat("a", 10000)}},
		})
	})
	d := start(t, "master = true", slaves(evil.URL))
	a := d.pulled("m", r.Dir)
	if strings.ContainsAny(a.text(), "\x1b\x07") || strings.Contains(a.text(), "\nremote:") || len(a.body) > 1000 {
		t.Errorf("the pusher sees %q", a.text())
	}
}

func TestAPostWithoutCredentialsUsesThoseThatAreKnown(t *testing.T) {
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	server.Require("jack", "s3cret-word")
	slave := start(t)
	d := start(t, "master = true", slaves(slave.url))
	u := strings.Replace(server.URL, "http://", "http://jack:s3cret-word@", 1) + "/r.git"
	d.pulled("m", u)
	d.pulled("m", server.URL+"/r.git").contains(t, "unchanged")
	if err := os.RemoveAll(slave.mirror("m")); err != nil { // it has forgotten them
		t.Fatal(err)
	}
	d.pulled("m", server.URL+"/r.git").contains(t, "1 ref changed")
	slave.get("/m").expect(t, 200, "X-State", "success")
}

// TestAReloadIsNotMissedByWhoComesLater: a request does not share a pull that another
// one asked for with the old configuration.
func TestAReloadIsNotMissedByWhoComesLater(t *testing.T) {
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Git("update-ref", "refs/pull/1/head", r.Commit("main", nil))
	server := origin.ServeHTTP(t, root)
	arrived, held := make(chan bool, 16), newHold(t)
	server.Before(func(*http.Request) { arrived <- true; held.wait() })
	d := start(t)
	answers := make(chan answer, 3)
	post := func() { answers <- d.post("m", server.URL+"/r.git") }
	go post()
	<-arrived
	go post() // waits for the first
	d.waitRead()
	d.reload(`refs = ["refs/heads/*", "refs/pull/*/head"]`, "listen = \""+strings.TrimPrefix(d.url, "http://")+"\"")
	go post()
	d.waitRead()
	held.release()
	for range 3 {
		(<-answers).expect(t, 200)
	}
	d.get("/m?ref=refs/pull/1/head").expect(t, 200)
}
