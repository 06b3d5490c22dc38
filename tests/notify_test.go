package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNotifyThatCannotBegin: a URL is named while nothing can be written down, and is not told of mirrors that were
// there before as if they were new.
func TestNotifyThatCannotBegin(t *testing.T) {
	t.Parallel()
	changes, still := newOrigin(t), newOrigin(t)
	to := newReceiver(t, "")
	d := start(t)
	d.pulled("changes", changes.Dir)
	d.pulled("still", still.Dir)
	old := changes.Git("rev-parse", "main")
	place := filepath.Join(d.storage, ".sould/notify")
	write(t, place, "in the way\n")
	lines := notifies(t, to.URL)
	d.reload(lines...)
	d.wait("ERROR can't read what a URL was told")
	commit := changes.Commit("main", map[string]string{"file": "2"})
	d.pulled("changes", changes.Dir)
	d.pulled("new", still.Dir)
	d.hasTold()
	d.reload(append(lines, `patience = "1s"`)...)
	to.silent()
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	told := map[string]delivered{}
	for range 2 {
		got := to.next()
		told[got.Mirror] = got
	}
	if was := told["changes"].was("refs/heads/main"); was != old+" "+commit {
		t.Errorf("it was told %+v", told["changes"])
	}
	if was := told["new"].was("refs/heads/main"); was != noID+" "+still.Git("rev-parse", "main") {
		t.Errorf("it was told %+v", told["new"])
	}
	d.hasTold()
	to.silent()
}

// TestNotify: what has changed is told, in order, and nothing else.
func TestNotify(t *testing.T) {
	t.Parallel()
	r, old := newOrigin(t), newOrigin(t)
	to := newReceiver(t, "")
	d := start(t)
	d.pulled("old", old.Dir) // before anybody is to be told
	d.reload(notifies(t, strings.Replace(to.URL, "http://", "http://user:pass-word@", 1)+"/hook?key=hidden-key")...)

	first := r.Git("rev-parse", "main")
	d.pulled("a/new", r.Dir)
	got := to.next()
	if got.Mirror != "a/new" || got.Origin != r.Dir || got.DefaultBranch != "refs/heads/main" || got.Revision != first || got.Servers != 1 ||
		len(got.Refs) != 1 || got.was("refs/heads/main") != noID+" "+first {
		t.Errorf("of a new mirror: %+v", got)
	}
	second := r.Commit("main", map[string]string{"file": "2"})
	r.Git("branch", "topic", "main")
	d.pulled("a/new", r.Dir)
	got = to.next()
	if len(got.Refs) != 2 || got.was("refs/heads/main") != first+" "+second || got.was("refs/heads/topic") != noID+" "+second || got.Refs[0].Name != "refs/heads/main" {
		t.Errorf("of a push: %+v", got)
	}
	r.Git("branch", "-D", "topic")
	d.pulled("a/new", r.Dir)
	if got = to.next(); len(got.Refs) != 1 || got.was("refs/heads/topic") != second+" "+noID {
		t.Errorf("of a branch that is gone: %+v", got)
	}
	d.pulled("a/new", r.Dir) // nothing new
	before := old.Git("rev-parse", "main")
	after := old.Commit("main", map[string]string{"file": "2"})
	d.pulled("old", old.Dir)
	if got = to.next(); got.Mirror != "old" || got.was("refs/heads/main") != before+" "+after {
		t.Errorf("of a mirror that was there before: %+v", got)
	}
	d.hasTold()
	d.stop()
	d.run()
	third := r.Commit("main", map[string]string{"file": "3"})
	d.pulled("a/new", r.Dir)
	if got = to.next(); got.Mirror != "a/new" || got.was("refs/heads/main") != second+" "+third {
		t.Errorf("after a restart: %+v", got)
	}
	d.hasTold()
	to.silent()
	tellsNothing(t, []string{"pass-word", "hidden-key", notifySecret}, d.log.String(), d.get("/x/status?format=json").text(),
		d.get("/x/why/a/new").text(), d.get("/x/metrics").text())
	eventually(t, "the answer is taken in", func() bool {
		return strings.Contains(d.get("/x/why/a/new").text(), to.URL+"/hook was told of what is here on ")
	})
	d.get("/x/metrics").contains(t, `sould_notifications_total{result="sent",url="`+to.URL+`/hook"} 1
`)
}

// TestNotifyAgain: what was not accepted is sent again with the same id, what comes meanwhile is one further
// delivery after it, and neither a kill nor a change of the configuration loses any of it.
func TestNotifyAgain(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	to := newReceiver(t, "")
	to.answers(func(w http.ResponseWriter, _ delivered) { http.Error(w, "not \x1b[31m today "+notifySecret, 500) })
	lines := notifies(t, to.URL)
	d := start(t, lines...)
	d.pulled("m", r.Dir)
	first := to.next()
	if again := to.next(); again.ID != first.ID || again.was("refs/heads/main") != first.was("refs/heads/main") {
		t.Errorf("%+v became %+v", first, again)
	}
	d.get("/x/why/m").contains(t, "it answered 500: not [31m today ***")
	for i := range 3 {
		r.Commit("main", map[string]string{"file": fmt.Sprint("new", i)})
		d.pulled("m", r.Dir)
	}
	last := r.Git("rev-parse", "main")
	d.kill()
	d.run()
	d.reload(append(lines, "patience = 1000")...)
	to.answers(nil)
	var all []delivered
	for len(all) == 0 || all[len(all)-1].Revision != last {
		if got := to.next(); len(all) == 0 || all[len(all)-1].ID != got.ID {
			all = append(all, got)
		}
	}
	if len(all) != 2 || all[0].ID != first.ID || all[1].was("refs/heads/main") != first.Revision+" "+last {
		t.Errorf("%+v was told, first %+v", all, first)
	}
	d.hasTold()
	to.silent()
	tellsNothing(t, []string{notifySecret}, d.log.String())
}

// TestNotifyHangs: a receiver that does not answer, one that is not there and one that redirects keep
// nobody else waiting, nor the daemon from stopping; and the one that comes back is told.
func TestNotifyHangs(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	hung, moved, well := newReceiver(t, ""), newReceiver(t, ""), newReceiver(t, "")
	held := newHold(t)
	hung.answers(func(http.ResponseWriter, delivered) { held.wait() })
	t.Cleanup(held.release)
	moved.answers(func(w http.ResponseWriter, _ delivered) {
		w.Header().Set("Location", well.URL)
		w.WriteHeader(307)
	})
	address := "127.0.0.1:" + freePort(t)
	d := start(t, notifies(t, hung.URL, moved.URL, "http://"+address+"/", well.URL)...)
	for i := range 6 {
		d.pulled(fmt.Sprint("m", i), r.Dir)
	}
	seen := make(map[string]bool)
	for range 6 {
		seen[well.next().Mirror] = true
	}
	if len(seen) != 6 {
		t.Errorf("told of %v", seen)
	}
	for range 4 {
		hung.next()
	}
	moved.next()
	d.wait(`can't tell a URL of changes, and tries again url=http://` + address)
	d.get("/x/why/m0").contains(t, "it answered with a redirect (307)")
	late := newReceiver(t, address)
	for range 6 {
		seen["late "+late.next().Mirror] = true
	}
	if len(seen) != 12 {
		t.Errorf("told of %v", seen)
	}
	d.wait(`a URL is told of changes again url=http://` + address)
	hung.silent() // no more than four at once
	well.silent()
	began := time.Now()
	d.stop()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

// TestNotifyWhenAllHaveIt: a change is told when all slaves have it, and those below them, and not before;
// also one that a reader's pull has brought, or that the master had before it was killed.
func TestNotifyWhenAllHaveIt(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	to := newReceiver(t, "")
	bottom := start(t)
	middle := start(t, "master = true", slaves(bottom.url))
	port := freePort(t)
	slave := start(t, `listen = "127.0.0.1:`+port+`"`)
	lines := append(notifies(t, to.URL), "master = true", slaves(middle.url, slave.url), `repair = "200ms"`, `timeout = "2s"`)
	master := start(t, lines...)
	master.pulled("m", r.Dir)
	got := to.next()
	if first := r.Git("rev-parse", "main"); got.Revision != first || got.Servers != 4 || len(got.Slaves) != 3 || got.was("refs/heads/main") != noID+" "+first {
		t.Errorf("%+v", got)
	}
	before := got.Revision

	slave.stop()
	r.Commit("main", map[string]string{"file": "2"})
	if a := master.post("m", r.Dir); a.StatusCode != 502 {
		t.Fatalf("%s\n%s", a.Status, a.text())
	}
	master.get("/x/why/m").contains(t, "as soon as all servers have it")
	r.Git("branch", "topic", "main")
	tip := r.Commit("main", map[string]string{"file": "3"})
	if a := master.post("m", r.Dir); a.StatusCode != 502 {
		t.Fatalf("%s\n%s", a.Status, a.text())
	}
	master.kill()
	master.run()
	eventually(t, "the master knows that it has something to tell", func() bool {
		return strings.Contains(master.get("/x/metrics").text(), "sould_notifications_unconfirmed 1")
	})
	to.silent()
	slave.run()
	if got = to.next(); got.Revision != tip || got.was("refs/heads/main") != before+" "+tip || len(got.Refs) != 2 || got.Servers != 4 {
		t.Errorf("%+v", got)
	}
	if has := slave.get("/m").Header.Get("X-Revision"); has != tip {
		t.Errorf("it was told of %s, and the slave has %s", tip, has)
	}
	to.silent()
}

// TestNotifyOfRemovals: a removal is told in order with the changes of the mirror, and neither a failure nor a kill loses it. One
// that is made anew comes after it.
func TestNotifyOfRemovals(t *testing.T) {
	t.Parallel()
	r, to := newOrigin(t), newReceiver(t, "")
	d := start(t, append(notifies(t, to.URL), tokenLine)...)
	first := r.Git("rev-parse", "main")
	d.postWithToken("m", r.Dir).expect(t, 200)
	to.next()
	d.hasTold()
	ledgers, err := filepath.Glob(filepath.Join(d.storage, ".sould/notify/*/*"))
	if err != nil || len(ledgers) != 2 { // one says that they are complete
		t.Fatal(ledgers, err)
	}
	before := make(map[string]string)
	for _, ledger := range ledgers {
		text, err := os.ReadFile(ledger)
		if err != nil {
			t.Fatal(err)
		}
		before[ledger] = string(text)
	}
	to.answers(func(w http.ResponseWriter, _ delivered) { w.WriteHeader(500) })
	d.remove("m").expect(t, 200)
	gone := to.next()
	if !gone.Removed || gone.Mirror != "m" || gone.Origin != r.Dir || gone.was("refs/heads/main") != first+" "+noID || gone.Revision != "" ||
		gone.OldBranch != "refs/heads/main" || gone.Servers != 1 {
		t.Errorf("of a removal: %+v", gone)
	}
	d.kill()
	d.run()
	second := r.Commit("main", map[string]string{"file": "2"})
	d.postWithToken("m", r.Dir).expect(t, 200)
	to.answers(nil)
	got := to.next()
	for ; got.ID == gone.ID; got = to.next() {
	}
	if got.Removed || got.was("refs/heads/main") != noID+" "+second {
		t.Errorf("of one that is made anew: %+v", got)
	}

	// Nobody is told before the mirror is there again: it is told all the same.
	to.answers(func(w http.ResponseWriter, _ delivered) { w.WriteHeader(500) })
	third := r.Commit("main", map[string]string{"file": "3"})
	d.postWithToken("m", r.Dir).expect(t, 200)
	d.remove("m").expect(t, 200)
	d.postWithToken("m", r.Dir).expect(t, 200)
	to.answers(nil)
	var all []string
	for last := ""; len(all) == 0 || all[len(all)-1] != noID+" "+third; {
		if got := to.next(); got.ID != last {
			last = got.ID
			all = append(all, got.was("refs/heads/main"))
		}
	}
	if want := []string{second + " " + third, third + " " + noID, noID + " " + third}; strings.Join(all, ", ") != strings.Join(want, ", ") {
		t.Errorf("%q was told, want %q", all, want)
	}
	d.hasTold()

	// The daemon dies before it could write down that there is something to tell.
	d.remove("m").expect(t, 200)
	to.next()
	d.hasTold()
	d.kill()
	for ledger, text := range before {
		write(t, ledger, text)
	}
	d.run()
	if got := to.next(); !got.Removed || got.ID == gone.ID || got.was("refs/heads/main") != first+" "+noID {
		t.Errorf("after a kill: %+v", got)
	}
	d.hasTold()
	to.silent()
	if now, err := filepath.Glob(filepath.Join(d.storage, ".sould/notify/*/*")); err != nil || len(now) != 1 {
		t.Error(now, err)
	}
}

// TestNotifyWhenNobodyHasIt: a removal is told when no server has the mirror any more, also none below a slave.
func TestNotifyWhenNobodyHasIt(t *testing.T) {
	t.Parallel()
	r, to := newOrigin(t), newReceiver(t, "")
	port := freePort(t)
	bottom := start(t, tokenLine, `listen = "127.0.0.1:`+port+`"`)
	middle := start(t, tokenLine, "master = true", slaves(bottom.url), `repair = "200ms"`, `timeout = "2s"`)
	master := start(t, append(notifies(t, to.URL), tokenLine, "master = true", slaves(middle.url), `repair = "200ms"`, `timeout = "5s"`)...)
	master.postWithToken("m", r.Dir).expect(t, 200)
	to.next()
	bottom.stop()
	if a := master.remove("m"); a.StatusCode == 200 {
		t.Fatalf("%s\n%s", a.Status, a.text())
	}
	middle.get("/m").expect(t, 404)
	master.get("/m").expect(t, 404)
	eventually(t, "the master knows that it has something to tell", func() bool {
		return strings.Contains(master.get("/x/metrics").text(), "sould_notifications_unconfirmed 1")
	})
	master.kill()
	master.run()
	eventually(t, "the master knows that it has something to tell", func() bool {
		return strings.Contains(master.get("/x/metrics").text(), "sould_notifications_unconfirmed 1")
	})
	to.silent()
	bottom.run()
	if got := to.next(); !got.Removed || got.Mirror != "m" || got.Servers != 2 {
		t.Errorf("%+v", got)
	}
	if a := bottom.get("/m"); a.StatusCode != 404 {
		t.Errorf("it was told, and a server has it: %s", a.Status)
	}
	master.hasTold()
	to.silent()
}

// TestNotifyForgets: what was told of mirrors that are gone does not pile up. A hundred are told of for the last time,
// although this server was off for longer than it tries.
func TestNotifyForgets(t *testing.T) {
	t.Parallel()
	to := newReceiver(t, "")
	d := start(t, notifies(t, to.URL)...)
	d.pulled("m", newOrigin(t).Dir)
	to.next()
	d.hasTold()
	d.stop()
	dirs, err := filepath.Glob(filepath.Join(d.storage, ".sould/notify/*"))
	if err != nil || len(dirs) != 1 {
		t.Fatal(dirs, err)
	}
	for i := range 100 {
		name := fmt.Sprint("gone/", i)
		sum := sha256.Sum256([]byte(name))
		now := time.Now().AddDate(0, 0, -8).Format(time.RFC3339)
		text := fmt.Sprintf(`{"mirror":%q,"delivery":"D%d","since":%q,"body":{"id":"D%d","time":%q},"head":{},"refs":0}`+"\n", name, i, now, i, now)
		if err := os.WriteFile(filepath.Join(dirs[0], hex.EncodeToString(sum[:16])), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.run()
	for range 100 {
		to.next()
	}
	eventually(t, "the ledgers of mirrors that are gone are removed", func() bool {
		ledgers, err := os.ReadDir(dirs[0])
		return err == nil && len(ledgers) <= 1+2+64 // and the file that says that they are complete
	})
	if ledgers, err := os.ReadDir(dirs[0]); err != nil || len(ledgers) < 2 {
		t.Errorf("there are %d ledgers, %v", len(ledgers), err)
	}
}

// checkConfig is what --check says of a configuration.
func (d *daemon) checkConfig() (string, error) {
	cmd := exec.Command(binary, "--check", "-c", d.conf)
	cmd.Env = environ()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestNotifyIsChecked: what cannot be told is refused with the file's line.
func TestNotifyIsChecked(t *testing.T) {
	t.Parallel()
	lines := notifies(t, "http://user:secret@ci.local/hook")
	d := prepare(t, lines[1:]...)
	for _, c := range []struct{ notify, says string }{
		{`["ftp://ci.local/"]`, `notify: "ftp://ci.local" is no URL of a web server`},
		{`["http://user:secret@/x"]`, `names no host`},
		{`["http://ci.local/", "http://other:secret@CI.local/"]`, `is listed twice`},
		{`["http://ci.local/#x"]`, `has a fragment`},
		{`["http://user:secret@ci.local/%zz"]`, `cannot be read`},
	} {
		d.configure(append(lines[1:], "notify = "+c.notify)...)
		out, err := d.checkConfig()
		if err == nil || !strings.Contains(out, c.says) || strings.Contains(out, "secret@") {
			t.Errorf("%s: %v\n%s", c.notify, err, out)
		}
	}
	d.configure(lines[0])
	if out, err := d.checkConfig(); err == nil || !strings.Contains(out, "notify_secret_file is not set") {
		t.Errorf("%v\n%s", err, out)
	}
	d.configure(lines...)
	if out, err := d.checkConfig(); err != nil || !strings.Contains(out, `notify = ["http://ci.local/hook"]`) {
		t.Errorf("%v\n%s", err, out)
	}
}
