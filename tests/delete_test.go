package tests

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

const tokenLine = `token = "the-token-of-the-cluster"`

// remove sends a DELETE with the token.
func (d *daemon) remove(name string) answer {
	d.t.Helper()
	return d.do("DELETE", "/"+name, nil, "Authorization", "Bearer the-token-of-the-cluster")
}

// postWithToken is a POST where a token is needed.
func (d *daemon) postWithToken(name, origin string) answer {
	d.t.Helper()
	return d.do("POST", "/", form(name, origin), "Content-Type", formType, "Authorization", "Bearer the-token-of-the-cluster")
}

// own lists a directory of sould's own.
func (d *daemon) own(sub string) []string {
	d.t.Helper()
	entries, err := os.ReadDir(filepath.Join(d.storage, ".sould", sub))
	if err != nil {
		d.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDelete(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	d.pulled("dir/sub/m", r.Dir)
	d.pulled("dir/other", r.Dir)
	d.remove("dir/other").expect(t, 403).contains(t, "no token")
	d.get("/dir/other").expect(t, 200)

	d.reload(tokenLine)
	d.remove("none").expect(t, 404)
	d.remove("dir").expect(t, 404)
	d.remove("dir/../x").expect(t, 400)
	before := refs(t, d.mirror("dir/sub/m"))
	d.remove("dir/sub/m").expect(t, 200).contains(t, "dir/sub/m", "removed")
	d.get("/dir/sub/m").expect(t, 404)
	d.get("/dir/other").expect(t, 200)
	if _, err := os.Stat(d.mirror("dir/sub")); !os.IsNotExist(err) {
		t.Errorf("the empty directory is still there: %v", err)
	}
	d.remove("dir/sub/m").expect(t, 200).contains(t, "dir/sub/m  was not here")

	d.stop()
	d.run()
	d.get("/dir/sub/m").expect(t, 404)
	d.remove("dir/sub/m").expect(t, 200)
	trash := d.own("trash")
	if len(trash) != 1 || !strings.HasSuffix(trash[0], "-dir%2Fsub%2Fm") {
		t.Fatalf("in the trash is %q", trash)
	}
	if got := refs(t, filepath.Join(d.storage, ".sould", "trash", trash[0], "mirror")); got != before {
		t.Errorf("the removed mirror has\n%snot\n%s", got, before)
	}
	if got := d.own("tombstones"); len(got) != 1 || got[0] != "dir%2Fsub%2Fm" {
		t.Errorf("tombstones: %q", got)
	}

	// A POST makes it anew, when it succeeds.
	broken := origin.New(t, filepath.Join(t.TempDir(), "broken.git"))
	broken.Commit("main", map[string]string{"f": "1"})
	if err := os.RemoveAll(filepath.Join(broken.Dir, "objects", broken.Git("rev-parse", "main:f")[:2])); err != nil {
		t.Fatal(err)
	}
	d.postWithToken("dir/sub/m", broken.Dir).expect(t, 500)
	if got := d.own("tombstones"); len(got) != 1 {
		t.Errorf("tombstones: %q", got)
	}
	d.postWithToken("dir/sub/m", r.Dir).expect(t, 200)
	d.get("/dir/sub/m").expect(t, 200)
	if got := d.own("tombstones"); len(got) != 0 {
		t.Errorf("tombstones: %q", got)
	}

	d.remove("dir/other").expect(t, 200)
	d.reload(tokenLine, `keep = "1ms"`)
	eventually(t, "an empty trash and no tombstone", func() bool {
		return len(d.own("trash")) == 0 && len(d.own("tombstones")) == 0
	})
	d.remove("dir/other").expect(t, 404)
}

func TestDeleteOnTheWholeCluster(t *testing.T) {
	r := newOrigin(t)
	address := fmt.Sprintf(`listen = "127.0.0.1:%s"`, freePort(t))
	one, two := start(t), start(t, address)
	d := start(t, "master = true", slaves(one.url, two.url))
	d.pulled("m", r.Dir)
	one.reload(tokenLine)
	two.stop()
	d.reload("master = true", slaves(one.url, two.url), tokenLine)
	d.remove("m").expect(t, 502).contains(t, "m\n", "removed: master, 127.0.0.1", "refused")
	for _, server := range []*daemon{d, one} {
		server.get("/m").expect(t, 404)
	}
	two.configure(tokenLine, address)
	two.run()
	two.get("/m").expect(t, 200)
	d.remove("m").expect(t, 200).contains(t, "master "+strings.Repeat(" ", len(two.url)-len("http://master"))+" was not here", strings.TrimPrefix(two.url, "http://")+"  removed")
	two.get("/m").expect(t, 404)
	for _, server := range []*daemon{d, one, two} {
		if got := server.own("tombstones"); len(got) != 1 {
			t.Errorf("tombstones: %q", got)
		}
		server.get("/m").expect(t, 404)
	}
	// A slave that never had the mirror is not to get it from anybody, either.
	d.reload("master = true", slaves(one.url), tokenLine)
	d.postWithToken("n", r.Dir).expect(t, 200)
	d.reload("master = true", slaves(one.url, two.url), tokenLine)
	d.remove("n").expect(t, 200)
	if got := two.own("tombstones"); len(got) != 2 {
		t.Errorf("tombstones: %q", got)
	}
	rep := d.do("DELETE", "/m", nil, "Accept", "application/json", "Authorization", "Bearer the-token-of-the-cluster").expect(t, 200).report(t)
	if rep.State != "success" || len(rep.Slaves) != 2 || rep.Slaves[0].State != "success" {
		t.Errorf("%+v", rep)
	}
	// In a circle it comes back to where it was, and goes no further.
	one.reload(tokenLine, "master = true", slaves(d.url))
	one.remove("m").expect(t, 200)
	d.postWithToken("m", r.Dir).expect(t, 200)
	for _, server := range []*daemon{d, one, two} {
		server.get("/m").expect(t, 200)
		if got := server.own("tombstones"); slices.Contains(got, "m") {
			t.Errorf("tombstones: %q", got)
		}
	}
}

func TestDeleteWaitsForAPull(t *testing.T) {
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	server := origin.ServeHTTP(t, root)
	d := start(t)
	d.pulled("m", server.URL+"/r.git")
	r.Commit("main", map[string]string{"f": "2"})
	arrived, held := make(chan bool, 8), newHold(t)
	server.Before(func(*http.Request) { arrived <- true; held.wait() })
	answers := make(chan answer)
	go func() { answers <- d.post("m", server.URL+"/r.git") }()
	<-arrived
	d.reload(tokenLine)
	gone := make(chan answer)
	go func() { gone <- d.remove("m") }()
	d.waitRead()
	d.get("/m").expect(t, 200)
	held.release()
	(<-answers).expect(t, 200)
	(<-gone).expect(t, 200)
	d.get("/m").expect(t, 404)
	if left := d.own("incoming"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestDeleteWithoutATombstone fails, and the mirror stays: it would come back.
func TestDeleteWithoutATombstone(t *testing.T) {
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	d.reload(tokenLine)
	inTheWay := filepath.Join(d.storage, ".sould", "tombstones", "m")
	if err := os.MkdirAll(filepath.Join(inTheWay, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	d.remove("m").expect(t, 500).contains(t, "tombstone")
	d.get("/m").expect(t, 200)
	if got := d.own("trash"); len(got) != 0 {
		t.Errorf("in the trash is %q", got)
	}
	if err := os.RemoveAll(inTheWay); err != nil {
		t.Fatal(err)
	}
	d.remove("m").expect(t, 200)
	d.get("/m").expect(t, 404)
}

// TestACrashDuringDelete leaves a tombstone beside the mirror, which says nothing then:
// the mirror is served, here and on the slave.
func TestACrashDuringDelete(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	slave := start(t, tokenLine)
	statuses := make(chan int, 100)
	between := answering(t, slave.url, statuses)
	d := start(t, "master = true", slaves(between), tokenLine)
	d.postWithToken("m", r.Dir).expect(t, 200)
	d.stop()
	text := fmt.Sprintf(`{"name": "m", "date": %q}`, time.Now().Format(time.RFC3339))
	if err := os.WriteFile(filepath.Join(d.storage, ".sould", "tombstones", "m"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.configure("master = true", slaves(between), tokenLine, `repair = "100ms"`)
	for len(statuses) > 0 {
		<-statuses
	}
	d.run()
	d.get("/m").expect(t, 200)
	for range 2 { // when it compares again, it has done what it made of the first time
		<-statuses
	}
	d.get("/m").expect(t, 200)
	slave.get("/m").expect(t, 200)
	d.remove("m").expect(t, 200)
	d.get("/m").expect(t, 404)
	slave.get("/m").expect(t, 404)
}

// TestDeleteAndAPeersRequest that came before it and has waited: the mirror stays away.
func TestDeleteAndAPeersRequest(t *testing.T) {
	t.Parallel()
	_, server, url := served(t)
	d := start(t, tokenLine)
	var hold1 sync.Once
	listing, held := make(chan bool, 1), newHold(t)
	server.Before(func(*http.Request) { hold1.Do(func() { listing <- true; held.wait() }) })
	var posting, removing, asking sync.WaitGroup
	posting.Go(func() { d.postWithToken("m", url) }) // whatever comes of it
	<-listing
	removing.Go(func() { d.remove("m").expect(t, 200) })
	d.waitRead()
	asking.Go(func() {
		a := d.do("POST", "/", form("m", url), "Content-Type", formType,
			"Authorization", "Bearer the-token-of-the-cluster", "Sould-Peer", "another")
		if a.StatusCode != 200 { // else it was before the DELETE all the same
			a.contains(t, "was removed here on")
		}
	})
	d.waitRead()
	held.release()
	posting.Wait()
	removing.Wait()
	asking.Wait()
	d.get("/m").expect(t, 404)
	if got := d.own("tombstones"); len(got) != 1 {
		t.Errorf("tombstones: %q", got)
	}
}

// TestAMissedDeleteIsMadeUpForSoon, however rarely servers are compared.
func TestAMissedDeleteIsMadeUpForSoon(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	slave := start(t, tokenLine)
	link := origin.NewProxy(t, slave.url)
	d := start(t, "master = true", slaves("http://"+link.Addr), tokenLine, `repair = "1000h"`)
	d.postWithToken("m", r.Dir).expect(t, 200)
	link.Set(origin.Fault{Refuse: true})
	link.HangUp()
	d.remove("m").expect(t, 502)
	slave.get("/m").expect(t, 200)
	link.Set(origin.Fault{})
	d.wait("INFO removed on a slave mirror=m")
	slave.get("/m").expect(t, 404)
}

// TestDeleteUnderAReader: who reads the mirror reads it to its end.
func TestDeleteUnderAReader(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	files := make(map[string]string)
	for i := range 24 {
		files[fmt.Sprint("f", i)] = strings.Repeat(fmt.Sprintln("line of", i), 100_000)
	}
	r.Commit("main", files)
	d := start(t)
	d.pulled("m", r.Dir)
	d.reload(tokenLine)
	response, err := client.Get(d.url + "/m")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	d.remove("m").expect(t, 200)
	a := answer{Response: response}
	a.body, a.err = io.ReadAll(response.Body)
	if got := a.files(t); len(got) != len(files) || got["f23"] != files["f23"] {
		t.Errorf("an archive of %d files ended as if it were whole", len(got))
	}
	d.get("/m").expect(t, 404)
}

// TestRemovedMirrorsStayRemoved: a slave that was down is told when it is back, and
// nobody brings the mirror back who still has it.
func TestRemovedMirrorsStayRemoved(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	port := fmt.Sprintf(`listen = "127.0.0.1:%s"`, freePort(t))
	slave := start(t, port, tokenLine)
	peer := start(t, tokenLine)
	fast := `repair = "300ms"`
	d := start(t, "master = true", slaves(slave.url), peers(peer.url), tokenLine, fast)
	for _, name := range []string{"m", "stays"} {
		d.postWithToken(name, r.Dir).expect(t, 200)
		peer.postWithToken(name, r.Dir).expect(t, 200)
	}
	slave.stop()
	d.remove("m").expect(t, 502)
	slave.run()
	d.wait("INFO removed on a slave mirror=m")
	slave.get("/m").expect(t, 404)
	if err := os.RemoveAll(d.mirror("stays")); err != nil { // which nobody asked for
		t.Fatal(err)
	}
	d.reload("master = true", slaves(slave.url), peers(peer.url), tokenLine, fast)
	eventually(t, "the other one is back", func() bool { return d.get("/stays").StatusCode == 200 })
	d.get("/m").expect(t, 404)
	asked := d.do("POST", "/", form("m", r.Dir), "Content-Type", formType,
		"Authorization", "Bearer the-token-of-the-cluster", "Sould-Peer", "another")
	asked.expect(t, 409).contains(t, "was removed here on")
	d.postWithToken("m", r.Dir).expect(t, 200)
	d.get("/m").expect(t, 200)
}

// TestWhatIsSouldsOwnIsMadeAnew when somebody has removed it while the server runs.
func TestWhatIsSouldsOwnIsMadeAnew(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t, tokenLine)
	d.postWithToken("m", r.Dir).expect(t, 200)
	d.get("/m").expect(t, 200)
	for _, sub := range []string{"cache", "incoming", "neutral", "tombstones", "trash"} {
		if err := os.RemoveAll(filepath.Join(d.storage, ".sould", sub)); err != nil {
			t.Fatal(err)
		}
	}
	d.reload(tokenLine) // else it is noticed within half a minute
	for _, path := range []string{"/m", "/m?format=zip"} {
		eventually(t, path, func() bool { return d.get(path).StatusCode == 200 })
	}
	d.postWithToken("n", r.Dir).expect(t, 200)
	d.remove("m").expect(t, 200)
	if got := d.own("trash"); len(got) != 1 {
		t.Errorf("in the trash: %q", got)
	}
}

// TestTombstonesAreBounded: for names that no mirror had there are only so many. What is
// here can be removed all the same.
func TestTombstonesAreBounded(t *testing.T) {
	t.Parallel()
	const most = 4096 // maxTombstones
	r := newOrigin(t)
	d := start(t, tokenLine)
	d.postWithToken("m", r.Dir).expect(t, 200)
	passedOn := func(name string) answer {
		t.Helper()
		return d.do("DELETE", "/"+name, nil, "Authorization", "Bearer the-token-of-the-cluster", "Sould-Via", "another")
	}
	passedOn("first").expect(t, 200)
	text := fmt.Sprintf(`{"name": "n%%d", "date": %q}`, time.Now().UTC().Format(time.RFC3339))
	for i := range most - 1 {
		path := filepath.Join(d.storage, ".sould", "tombstones", fmt.Sprintf("n%d", i))
		if err := os.WriteFile(path, fmt.Appendf(nil, text, i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	passedOn("one-more").expect(t, 503).contains(t, "tombstones")
	passedOn("first").expect(t, 200)
	passedOn("m").expect(t, 200)
	d.get("/m").expect(t, 404)
	if n := len(d.own("tombstones")); n != most+1 {
		t.Errorf("%d tombstones", n)
	}
}
