package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// pair is a master and its slave, which compare themselves often.
func pair(t *testing.T) (master, slave *daemon) {
	t.Helper()
	slave = start(t, tokenLine, `listen = "127.0.0.1:`+freePort(t)+`"`)
	return start(t, "master = true", slaves(slave.url), tokenLine, `repair = "300ms"`), slave
}

// promote makes a slave the master of another server.
func (d *daemon) promote(slave *daemon) {
	d.t.Helper()
	d.reload("master = true", slaves(slave.url), tokenLine, `repair = "300ms"`, `listen = "`+strings.TrimPrefix(d.url, "http://")+`"`)
}

// has waits until a server has a mirror's revision.
func (d *daemon) has(name, revision string) {
	d.t.Helper()
	eventually(d.t, d.url+" has "+revision, func() bool {
		a := d.get("/" + name)
		return a.StatusCode == 200 && a.Header.Get("X-Revision") == revision
	})
}

// moveWithToken is a POST that moves a mirror.
func (d *daemon) moveWithToken(name, from, to string) answer {
	d.t.Helper()
	return d.do("POST", "/", form(name, to, "move", from), "Content-Type", formType, "Authorization", "Bearer the-token-of-the-cluster")
}

// TestAMasterThatWasAwayBringsNothingBack: somebody has removed a mirror meanwhile, on the
// server that stood in for it.
func TestAMasterThatWasAwayBringsNothingBack(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	master, slave := pair(t)
	master.postWithToken("m", r.Dir).expect(t, 200)
	master.stop()
	slave.promote(start(t, tokenLine))
	slave.remove("m").expect(t, 200)
	master.run()
	master.wait(`(?s)can't repair every difference.*was removed here on`)
	slave.get("/m").expect(t, 404)
	master.postWithToken("m", r.Dir).expect(t, 200)
	slave.get("/m").expect(t, 200)
}

// TestAMasterThatWasAwayRemovesNothingNew: somebody has asked for a mirror that it had
// removed before.
func TestAMasterThatWasAwayRemovesNothingNew(t *testing.T) {
	t.Parallel()
	r, other := newOrigin(t), newOrigin(t)
	tip := other.Commit("main", map[string]string{"other": "1"})
	master, slave := pair(t)
	master.postWithToken("m", r.Dir).expect(t, 200)
	master.remove("m").expect(t, 200)
	master.stop()
	slave.promote(start(t, tokenLine))
	slave.postWithToken("m", other.Dir).expect(t, 200)
	master.run()
	master.has("m", tip)
	slave.get("/m").expect(t, 200, "X-Revision", tip)
}

// TestAPostThatCameBeforeADelete brings nothing back after it, also not from a peer.
func TestAPostThatCameBeforeADelete(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	proxy := origin.NewProxy(t, origin.ServeHTTP(t, root).URL)
	url := "http://" + proxy.Addr + "/r.git"
	peer := start(t, tokenLine)
	peer.postWithToken("m", url).expect(t, 200)
	peer.reload(tokenLine, `list_timeout = "5s"`)
	proxy.Set(origin.Fault{Mute: true})
	d := start(t, tokenLine, peers(peer.url), `list_timeout = "5s"`, `repair = "0"`) // else it would build the mirror first
	posted := make(chan answer)
	go func() { posted <- d.postWithToken("m", url) }()
	eventually(t, "the POST is at work", func() bool { return strings.Contains(d.get("/m").text(), "for the first time") })
	d.reload(tokenLine, peers(peer.url), `list_timeout = "5s"`, `repair = "1h"`)
	d.remove("m").expect(t, 200)
	if a := <-posted; a.StatusCode == 200 || !strings.Contains(a.text(), "was removed here on") {
		t.Errorf("%s\n%s", a.Status, a.text())
	}
	d.get("/m").expect(t, 404)
}

// TestAMirrorPutBackByHand is wanted again, here and on the slaves.
func TestAMirrorPutBackByHand(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	master, slave := pair(t)
	master.postWithToken("m", r.Dir).expect(t, 200)
	master.remove("m").expect(t, 200)
	trash := filepath.Join(master.storage, ".sould", "trash", master.own("trash")[0], "mirror")
	if err := os.Rename(trash, master.mirror("m")); err != nil {
		t.Fatal(err)
	}
	master.has("m", r.Git("rev-parse", "main"))
	slave.has("m", r.Git("rev-parse", "main"))
	if got := master.own("tombstones"); len(got) != 0 {
		t.Errorf("tombstones: %q", got)
	}
	if err := os.RemoveAll(master.mirror("m")); err != nil { // which is no DELETE
		t.Fatal(err)
	}
	master.has("m", r.Git("rev-parse", "main"))
	slave.get("/m").expect(t, 200)
}

// TestMovesThatASlaveHasMissed are made up for: several, one to the same content, one by
// DELETE and POST, and one of an empty mirror to an origin with ids of another kind.
func TestMovesThatASlaveHasMissed(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	copies := make([]*origin.Repo, 3)
	for i := range copies {
		copies[i] = origin.New(t, filepath.Join(t.TempDir(), "copy.git"))
		copies[i].Git("fetch", "--quiet", r.Dir, "+refs/*:refs/*")
	}
	void := origin.New(t, filepath.Join(t.TempDir(), "void.git"))
	other := origin.New(t, filepath.Join(t.TempDir(), "other.git"), "--object-format=sha256")
	other.Commit("main", nil)
	master, slave := pair(t)
	for _, name := range []string{"twice", "once", "anew"} {
		master.postWithToken(name, r.Dir).expect(t, 200)
	}
	master.postWithToken("void", void.Dir).expect(t, 200)
	slave.stop()
	master.moveWithToken("void", void.Dir, other.Dir).expect(t, 502)
	master.moveWithToken("twice", r.Dir, copies[0].Dir).expect(t, 502)
	tip := copies[1].Commit("main", map[string]string{"moved": "1"})
	master.moveWithToken("twice", copies[0].Dir, copies[1].Dir).expect(t, 502)
	master.moveWithToken("once", r.Dir, copies[0].Dir).expect(t, 502)
	master.remove("anew").expect(t, 502)
	master.postWithToken("anew", copies[2].Dir).expect(t, 502)
	slave.run()
	slave.has("twice", tip)
	for name, want := range map[string]string{"twice": copies[1].Dir, "once": copies[0].Dir, "anew": copies[2].Dir, "void": other.Dir} {
		eventually(t, name+" is moved", func() bool {
			return strings.Contains(slave.get("/x/status?format=json&name="+name).text(), fmt.Sprintf("%q", want))
		})
		slave.get("/"+name).expect(t, 200)
	}
}

// TestAMirrorThatWasMadeAnew when a slave was away: it has the one that was removed, and can
// follow neither an origin with ids of another kind nor one with hardly a ref of the former.
func TestAMirrorThatWasMadeAnew(t *testing.T) {
	t.Parallel()
	r, poor := newOrigin(t), origin.New(t, filepath.Join(t.TempDir(), "poor.git"))
	for i := range 20 {
		r.Git("branch", fmt.Sprintf("b%d", i), "main")
	}
	poor.Commit("main", nil)
	same := filepath.Join(t.TempDir(), "same.git")
	origin.New(t, same).Commit("main", nil)
	other := origin.New(t, filepath.Join(t.TempDir(), "other.git"), "--object-format=sha256")
	tip := other.Commit("main", nil)
	master, slave := pair(t)
	for name, from := range map[string]string{"other": r.Dir, "poor": r.Dir, "same": same} {
		master.postWithToken(name, from).expect(t, 200)
	}
	slave.stop()
	if err := os.Rename(same, same+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other.Dir, same); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"other": same, "poor": poor.Dir, "same": same} {
		master.remove(name).expect(t, 502)
		master.postWithToken(name, from).expect(t, 502)
	}
	slave.run()
	slave.has("other", tip)
	slave.has("same", tip)
	slave.has("poor", poor.Git("rev-parse", "main"))
	if got := slave.own("trash"); len(got) != 3 {
		t.Errorf("in the trash: %q", got)
	}
}

// TestNobodyAccepted: a master that was wiped is built anew from an origin that has lost
// most of its refs. That is no acceptance for the slave.
func TestNobodyAccepted(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	for i := range 30 {
		r.Git("branch", fmt.Sprintf("b%d", i), "main")
	}
	master, slave := pair(t)
	master.postWithToken("m", r.Dir).expect(t, 200)
	had := refs(t, slave.mirror("m"))
	master.stop()
	if err := os.RemoveAll(master.storage); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		r.Git("branch", "-D", fmt.Sprintf("b%d", i))
	}
	master.run()
	master.wait(`(?s)can't repair every difference.*the origin dropped 30 of 31 refs`)
	if now := refs(t, slave.mirror("m")); now != had {
		t.Errorf("the slave has\n%s", now)
	}
	master.do("POST", "/", form("m", r.Dir, "accept", "deletions"), "Content-Type", formType,
		"Authorization", "Bearer the-token-of-the-cluster").expect(t, 200)
	if now := refs(t, slave.mirror("m")); now == had {
		t.Error("the slave has not accepted what was accepted")
	}
}
