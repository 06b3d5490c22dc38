package tests

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// pool serves bare repositories below any number of directories: one of the same name is the same
// repository, /3/r1 as well as /7/r1. asked counts the requests.
func pool(t *testing.T, sizes ...int) (url string, repos []*origin.Repo, asked *atomic.Int64) {
	t.Helper()
	root := t.TempDir()
	for i, size := range sizes {
		r := origin.New(t, filepath.Join(root, fmt.Sprintf("r%d", i)))
		r.Commit("main", map[string]string{"noise": noise(i, size)})
		repos = append(repos, r)
	}
	server := origin.ServeHTTP(t, root)
	asked = new(atomic.Int64)
	server.Before(func(r *http.Request) {
		asked.Add(1)
		r.URL.Path = anyDirectory.ReplaceAllString(r.URL.Path, "/r")
	})
	return server.URL, repos, asked
}

var anyDirectory = regexp.MustCompile(`^/[0-9]+/r`)

// table is an [[ondemand]] of all below pool/, with more lines.
func table(url string, lines ...string) string {
	return "[[ondemand]]\nprefix = 'pool/'\norigin = '" + url + "/{path}'\n" + strings.Join(lines, "\n")
}

// diskUsage is what directories take on disk, each file once.
func diskUsage(t *testing.T, dirs ...string) (bytes int64) {
	t.Helper()
	seen := make(map[uint64]bool)
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return nil // it has just gone
			}
			if info, err := entry.Info(); err == nil {
				if stat := info.Sys().(*syscall.Stat_t); !seen[stat.Ino] {
					seen[stat.Ino] = true
					bytes += stat.Blocks * 512
				}
			}
			return nil
		})
	}
	return bytes
}

// read gets a mirror until there is room for it.
func (d *daemon) read(t *testing.T, name string) answer {
	for {
		a := d.get("/" + name)
		if a.StatusCode != http.StatusServiceUnavailable {
			return a
		}
		if a.Header.Get("Retry-After") == "" || !strings.Contains(a.text(), "no room") {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.text())
			return a
		}
		time.Sleep(100 * time.Millisecond) // as clients do, but sooner
	}
}

// TestQuota: under many first reads of random names, the mirrors and their trash never take more than
// the quota, but for the transfers in flight, and what a POST has made stays.
func TestQuota(t *testing.T) {
	t.Parallel()
	reads, clients := shortOrLong(120, 10_000), 8
	const quota, largest = 4 << 20, 200 << 10
	rnd := seeded(t)
	url, repos, _ := pool(t, 1<<10, 20<<10, 60<<10, 150<<10)
	d := start(t, tokenLine, "repair = 0", "max_fetches = 4", "maintenance = false", "check = 0", table(url, fmt.Sprintf("quota = %d", quota)))
	d.postWithToken("pool/1/r3", url+"/1/r3").expect(t, 200)
	names := make(chan string)
	go func() {
		defer close(names)
		for range reads {
			names <- fmt.Sprintf("pool/%d/r%d", 2+rnd.IntN(reads), rnd.IntN(len(repos)))
		}
	}()
	over, stop := make(chan int64, 1), make(chan bool)
	go func() {
		most := int64(0)
		for {
			select {
			case <-stop:
				over <- most - quota
				return
			default:
				most = max(most, diskUsage(t, d.mirror("pool"), d.mirror(".sould/trash"), d.mirror(".sould/incoming"))-diskUsage(t, d.mirror("pool/1")))
			}
		}
	}()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for name := range names {
				if a := d.read(t, name); a.StatusCode != 200 {
					t.Errorf("%s: %d %s", name, a.StatusCode, a.text())
				}
			}
		})
	}
	all.Wait()
	close(stop)
	excess := <-over
	t.Logf("at the most, %d bytes over the quota of %d", excess, quota)
	if excess > int64(clients)*largest {
		t.Errorf("the quota is exceeded by %d bytes", excess)
	}
	if n := strings.Count(d.log.String(), "removed a mirror that was made on demand"); n < reads/6 {
		t.Errorf("%d mirrors were removed", n)
	}
	if n := strings.Count(d.log.String(), " ERROR "); n > 0 {
		t.Errorf("%d errors:\n%s", n, d.log)
	}
	d.get("/pool/1/r3").expect(t, 200)
	for _, name := range d.own("trash") {
		t.Errorf("%s is in the trash", name)
	}
	metrics := d.get("/x/metrics").text()
	used := metric(t, metrics, `sould_ondemand_bytes{content="mirrors",prefix="pool/"}`)
	if real := diskUsage(t, d.mirror("pool")) - diskUsage(t, d.mirror("pool/1")); used > quota || used == 0 || used > real {
		t.Errorf("the metrics tell of %d bytes, of %d", used, real)
	}
	if metric(t, metrics, `sould_ondemand_evictions_total{prefix="pool/",reason="room"}`) == 0 || metric(t, metrics, `sould_ondemand_quota_bytes{prefix="pool/"}`) != quota {
		t.Error("the metrics do not tell of removals, or of the quota")
	}
}

// metric is the value of a metric with these labels.
func metric(t *testing.T, all, name string) int64 {
	t.Helper()
	for line := range strings.Lines(all) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int64(f)
		}
	}
	t.Errorf("the metrics lack %s", name)
	return 0
}

// TestMaxSize: a repository that is too large is refused, in words, and not asked for again at once. One
// that grows too large is the next to go. What is POSTed has no limit.
func TestMaxSize(t *testing.T) {
	t.Parallel()
	const limit = 400 << 10
	url, repos, asked := pool(t, 2<<20, 100<<10, 200<<10, 200<<10)
	d := start(t, tokenLine, "repair = 0", "retry = '1h'", "keep = '1h'", "maintenance = false", table(url, "max_age = 0", fmt.Sprintf("max_size = %d", limit), "quota = '800KiB'"))
	for range 2 {
		a := d.get("/pool/1/r0")
		a.expect(t, 403)
		if !strings.Contains(a.text(), "more than 400KiB") || !strings.Contains(a.text(), "raise max_size") {
			t.Errorf("%s", a.text())
		}
	}
	asked.Store(0)
	d.get("/pool/1/r0").expect(t, 403)
	if n := asked.Load(); n != 0 {
		t.Errorf("the origin is asked %d times for what was refused", n)
	}
	if left := d.own("incoming"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	if n := metric(t, d.get("/x/metrics").text(), `sould_ondemand_refusals_total{prefix="pool/",reason="max_size"}`); n != 1 {
		t.Errorf("%d refusals are counted", n)
	}
	d.postWithToken("pool/1/r0", url+"/1/r0").expect(t, 200)
	d.get("/pool/1/r0").expect(t, 200)

	d.get("/pool/1/r1").expect(t, 200)
	d.get("/pool/1/r2").expect(t, 200)
	for i := range 6 { // each of them is small
		repos[1].Commit("main", map[string]string{fmt.Sprint("more", i): noise(10+i, 100<<10)})
		d.get("/pool/1/r1").expect(t, 200)
	}
	repos[1].Commit("main", map[string]string{"much": noise(20, 2<<20)})
	d.get("/pool/1/r1").expect(t, 200) // what is there
	why := d.get("/x/why/pool/1/r1", "Accept", "text/plain")
	if !strings.Contains(why.text(), "the next to go") || !strings.Contains(why.text(), "more than 400KiB") {
		t.Errorf("%s", why.text())
	}
	if s := d.get("/x/status?format=json&name=pool/1/r1"); !strings.Contains(s.text(), `"on_demand": true`) && !strings.Contains(s.text(), `"on_demand":true`) || !strings.Contains(s.text(), `"last_read"`) {
		t.Errorf("%s", s.text())
	}
	time.Sleep(2100 * time.Millisecond) // nothing that was read a moment ago goes
	if a := d.read(t, "pool/1/r3"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.text())
	}
	if exists(d.mirror("pool/1/r1")) || !exists(d.mirror("pool/1/r2")) || !exists(d.mirror("pool/1/r0")) {
		t.Errorf("another mirror than the one that is too large was removed\n%s", d.log)
	}
	why = d.get("/x/why/pool/1/r1", "Accept", "text/plain")
	if !strings.Contains(why.text(), "was removed") || !strings.Contains(why.text(), "larger than max_size") {
		t.Errorf("%s", why.text())
	}
}

// TestIdleMirrors go to the trash, and are made again when somebody reads them. One that was POSTed
// stays, also if a read had made it. Without its table none goes.
func TestIdleMirrors(t *testing.T) {
	t.Parallel()
	url, _, _ := pool(t, 100, 100)
	idle := func(time string) []string { return []string{tokenLine, "repair = 0", table(url, "idle = '"+time+"'")} }
	d := start(t, idle("1h")...)
	d.get("/pool/1/r0").expect(t, 200)
	d.get("/pool/1/r1").expect(t, 200)
	d.postWithToken("pool/1/r1", url+"/1/r1").expect(t, 200)
	why := d.get("/x/why/pool/1/r0", "Accept", "text/plain")
	if !strings.Contains(why.text(), "will be removed") {
		t.Errorf("%s", why.text())
	}
	d.reload(idle("3s")...)
	eventually(t, "the idle one is gone", func() bool { return !exists(d.mirror("pool/1/r0")) })
	d.wait(`removed a mirror that was made on demand.* why=idle`)
	if trash := d.own("trash"); len(trash) != 1 || !strings.Contains(trash[0], "r0") {
		t.Errorf("in the trash are %v", trash)
	}
	if d.own("tombstones") != nil {
		t.Error("there is a tombstone")
	}
	why = d.get("/x/why/pool/1/r0", "Accept", "text/plain")
	if !strings.Contains(why.text(), "was removed") || !strings.Contains(why.text(), "nobody had read it") {
		t.Errorf("%s", why.text())
	}
	for again := true; again; again = !exists(d.mirror("pool/1/r0")) { // it went before the table
		d.reload(idle("3s")...)
		d.get("/pool/1/r0").expect(t, 200)
		d.reload(tokenLine)
	}
	time.Sleep(4 * time.Second)
	d.get("/pool/1/r0").expect(t, 200)
	d.get("/pool/1/r1").expect(t, 200)
}

// TestReadsSurviveARestart: the least recently used mirror goes, also if it was read before a restart.
func TestReadsSurviveARestart(t *testing.T) {
	t.Parallel()
	url, _, _ := pool(t, 200<<10, 200<<10, 200<<10)
	d := start(t, tokenLine, "repair = 0", table(url, "quota = '480KiB'"))
	d.get("/pool/1/r0").expect(t, 200)
	d.get("/pool/1/r1").expect(t, 200)
	time.Sleep(2100 * time.Millisecond) // reads are told apart by the second
	d.get("/pool/1/r0").expect(t, 200)
	d.stop()
	if _, err := os.Stat(d.mirror(".sould/reads")); err != nil {
		t.Error(err)
	}
	d.run()
	if a := d.read(t, "pool/1/r2"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.text())
	}
	if !exists(d.mirror("pool/1/r0")) || exists(d.mirror("pool/1/r1")) {
		t.Errorf("the mirror that was read last is gone\n%s", d.log)
	}
}

// TestDenyPrivate: nothing is read from a private address, whatever it is called, whoever asks.
func TestDenyPrivate(t *testing.T) {
	t.Parallel()
	url, _, asked := pool(t, 100)
	port := url[strings.LastIndex(url, ":")+1:]
	d := prepare(t)
	var lines []string
	hosts := []string{"127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"}
	for i, host := range hosts {
		lines = append(lines, fmt.Sprintf("[[ondemand]]\nprefix = 'p%d/'\norigin = 'http://%s:%s/{path}'\ndeny_private = true", i, host, port))
	}
	d.configure(append([]string{tokenLine, "repair = 0"}, lines...)...)
	d.run()
	for i, host := range hosts {
		a := d.get(fmt.Sprintf("/p%d/1/r0", i))
		if a.StatusCode == 200 || a.StatusCode == 500 || a.StatusCode == 404 {
			t.Errorf("%s: %d %s", host, a.StatusCode, a.text())
		}
		if i < 2 && (a.StatusCode != 403 || !strings.Contains(a.text(), "a loopback address")) {
			t.Errorf("%s: %d %s", host, a.StatusCode, a.text())
		}
	}
	for what, origin := range map[string]string{"http": url + "/1/r0", "git": "git://127.0.0.1/r0", "ssh": "git@127.0.0.1:r0", "path": "/nowhere"} {
		a := d.postWithToken("p0/"+what, origin)
		a.expect(t, 500)
		if !strings.Contains(a.text(), "deny_private") {
			t.Errorf("%s: %s", what, a.text())
		}
	}
	all := start(t, tokenLine, "deny_private = true")
	for what, origin := range map[string]string{"http": url + "/1/r0", "git": "git://127.0.0.1/r0", "ssh": "git@127.0.0.1:r0"} {
		all.postWithToken("any/"+what, origin).expect(t, 500).contains(t, "deny_private")
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// TestBrokenMirrorsOnDemand: one that cannot be read takes its part of the quota, and is the first to go. One
// that somebody has put there by hand does neither, whatever is wrong with it.
func TestBrokenMirrorsOnDemand(t *testing.T) {
	t.Parallel()
	url, repos, _ := pool(t, 200<<10, 200<<10, 200<<10)
	d := start(t, tokenLine, "repair = 0", "retry = '1h'", table(url, "quota = '480KiB'"))
	d.get("/pool/1/r0").expect(t, 200)
	d.get("/pool/1/r1").expect(t, 200)
	d.stop()
	_ = os.RemoveAll(repos[1].Dir) // so that it cannot be mended
	byHand := d.mirror("pool/by/hand")
	origin.New(t, byHand).Commit("main", map[string]string{"noise": noise(7, 300<<10)})
	for _, dir := range []string{d.mirror("pool/1/r1"), byHand} {
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, "packed-refs")), os.Mkdir(filepath.Join(dir, "packed-refs"), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	d.run()
	eventually(t, "all is read, and nothing can be mended", func() bool {
		return strings.Contains(d.log.String(), "can't pull mirror=pool/1/r1") && d.get("/x/health/ready").StatusCode == 200 &&
			!strings.Contains(d.get("/x/status?format=json").text(), `"pull":`)
	})
	if n := metric(t, d.get("/x/metrics").text(), `sould_ondemand_mirrors{prefix="pool/"}`); n != 2 {
		t.Errorf("%d mirrors are counted", n)
	}
	if a := d.read(t, "pool/1/r2"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.text())
	}
	if exists(d.mirror("pool/1/r1")) || !exists(d.mirror("pool/1/r0")) || !exists(byHand) {
		t.Errorf("another mirror than the broken one was removed\n%s", d.log)
	}
	d.wait(`removed a mirror that was made on demand mirror=pool/1/r1 why=broken`)
	d.why("pool/1/r1", 404, "was removed", "it could not be read")
}

// TestFetchedInVain: what was fetched, and had no room then because all others were in use, is not fetched again
// before there is room for it. The log does not tell of an error.
func TestFetchedInVain(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	for i := range 3 {
		f.repo(fmt.Sprint("r", i)).Commit("main", map[string]string{"noise": noise(i, 200<<10)})
	}
	hold, goOn := atomic.Bool{}, make(chan struct{})
	held, letGo := make(chan bool, 100), sync.OnceFunc(func() { close(goOn) })
	defer letGo()
	f.watch(func(r *http.Request) {
		if hold.Load() && !strings.HasPrefix(r.URL.Path, "/r2") {
			held <- true
			<-goOn
		}
	})
	d := start(t, "retry = 0", "list_timeout = '10m'", "maintenance = false", f.table("max_age = 0", "quota = '480KiB'"))
	d.get("/forge/r0").expect(t, 200)
	d.get("/forge/r1").expect(t, 200)
	hold.Store(true) // pulls of both go on, so that both are in use
	reads := []<-chan answer{d.getting("/forge/r0"), d.getting("/forge/r1")}
	<-held
	<-held
	if out, err := gitClient("2", "clone", d.url+"/forge/r2", t.TempDir()); err == nil || !strings.Contains(out, "full of mirrors that are in use") ||
		strings.Contains(out, "what has come") {
		t.Errorf("a clone: %v\n%s", err, out)
	}
	for range 3 {
		d.get("/forge/r2").expect(t, 503, "Retry-After", "1").contains(t, "full of mirrors that are in use")
	}
	if n := f.lists("r2"); n == 0 || n > 2 { // ours, and that of git's transfer
		t.Errorf("the origin was asked %d times", n)
	}
	letGo()
	for _, read := range reads {
		(<-read).expect(t, 200)
	}
	if a := d.read(t, "forge/r2"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.text())
	}
	d.logged("not made: there is no room for it", 1)
	d.logged(" ERROR ", 0)
}
