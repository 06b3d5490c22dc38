package tests

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

// TestRaceMix has 32 clients of all kinds while the configuration changes every 50
// milliseconds, role and slaves included. No request fails but those that are meant
// to; afterwards no descriptor, child or goroutine is left. Run with -race, it looks for
// data races: the daemon is then built with the detector and ends at the first one.
func TestRaceMix(t *testing.T) {
	t.Parallel()
	const clients, mirrors = 32, 4
	var repos []*origin.Repo
	for range mirrors {
		r := newOrigin(t)
		r.Commit("main", map[string]string{"a": noise(1, 100_000), "dir/b": "b"})
		repos = append(repos, r)
	}
	slave := start(t, tokenLine)
	// Without a cache nothing is kept open for readers to come.
	plain := []string{tokenLine, `cache_size = 0`}
	master := []string{tokenLine, "master = true", slaves(slave.url), `cache_size = "1MiB"`}
	d := start(t, plain...)
	pullAll := func() {
		for i, r := range repos {
			name := fmt.Sprintf("m%d", i)
			d.postWithToken(name, r.Dir).expect(t, 200)
			d.get("/"+name).expect(t, 200, "X-Revision", r.Git("rev-parse", "main"))
			d.fsck(name)
		}
		eventually(t, "no child is left", func() bool { return len(d.holders()) == 0 })
	}
	pullAll()
	idle := d.goroutines()
	d.run()
	pullAll()
	before := d.descriptors()

	kinds := raceKinds(t, d, repos)
	done := make([]atomic.Int64, len(kinds))
	end := time.Now().Add(shortOrLong(3*time.Second, time.Minute))
	order := seeded(t).Perm(len(kinds))
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			// Each begins elsewhere, so that all kinds have their turn.
			for n := 0; n < 2 || time.Now().Before(end) && !t.Failed(); n++ {
				which := order[(client*len(kinds)/clients+n)%len(kinds)]
				k := kinds[which]
				status, err := k.do(n % mirrors)
				if err != nil || status != k.want {
					t.Errorf("%s: status %d, want %d, %v", k.what, status, k.want, err)
				}
				done[which].Add(1)
			}
		})
	}
	all.Go(func() { // the origins are pushed to
		for n := 0; time.Now().Before(end); n++ {
			repos[n%mirrors].Commit("main", map[string]string{"new": fmt.Sprint(n)})
		}
	})
	reloads := 0
	for tick := time.NewTicker(50 * time.Millisecond); time.Now().Before(end); <-tick.C {
		d.configure([][]string{plain, master}[reloads%2]...)
		d.signal(syscall.SIGHUP)
		reloads++
	}
	all.Wait()
	d.reload(plain...)
	requests, least := int64(0), int64(math.MaxInt64)
	for i := range done {
		requests, least = requests+done[i].Load(), min(least, done[i].Load())
	}
	t.Logf("%d requests of %d kinds, at least %d of each, %d reloads", requests, len(kinds), least, reloads)
	if least == 0 {
		t.Error("not all kinds of requests were sent")
	}
	if n := strings.Count(d.log.String(), "not reloaded"); n > 0 {
		t.Errorf("%d reloads were refused", n)
	}
	slave.stop()                                                   // and with it the connections to it
	d.reload(append([]string{`maintenance = false`}, plain...)...) // a repack would begin when all is quiet
	pullAll()
	if !within(patient, func() bool { return d.descriptors() <= before }) {
		t.Errorf("%d descriptors are open, at the beginning %d", d.descriptors(), before)
	}
	d.cleanSoon()
	// A pack or an archive may just be made ahead: by one, and two of its process; another one may begin or end.
	if left := d.goroutines(); sum(left) > sum(idle)+4 {
		t.Errorf("there are goroutines of these kinds: %v, at the beginning: %v", left, idle)
	}
	d.run()
}

func sum(counts map[string]int) (n int) {
	for _, one := range counts {
		n += one
	}
	return n
}

// raceKind is a request and what must come of it.
type raceKind struct {
	what string
	want int
	do   func(mirror int) (status int, err error)
}

func raceKinds(t *testing.T, d *daemon, repos []*origin.Repo) []raceKind {
	send := func(method, path, body string, headers ...string) (answer, error) {
		headers = append([]string{"Authorization", bearer(token), "Content-Type", formType}, headers...)
		a, err := d.try(method, path, strings.NewReader(body), headers...)
		if err == nil {
			err = a.err
		}
		return a, err
	}
	simple := func(what string, want int, method, path string, headers ...string) raceKind {
		return raceKind{what + " " + path, want, func(i int) (int, error) {
			a, err := send(method, strings.ReplaceAll(path, "#", fmt.Sprint(i)), "", headers...)
			if err != nil {
				return 0, err
			}
			return a.StatusCode, nil
		}}
	}
	// all sends requests until one is not answered with 200.
	all := func(requests ...func() (answer, error)) (int, error) {
		for _, request := range requests {
			a, err := request()
			if err == nil && a.StatusCode != 200 {
				err = fmt.Errorf("%s %s: %s\n%s", a.Request.Method, a.Request.URL, a.Status, a.text())
			}
			if err != nil {
				return 0, err
			}
		}
		return 200, nil
	}
	ask := func(method, path, body string, headers ...string) func() (answer, error) {
		return func() (answer, error) { return send(method, path, body, headers...) }
	}
	var own atomic.Int64 // names that one client alone has
	dir := t.TempDir()
	kinds := []raceKind{
		{"POST", 200, func(i int) (int, error) {
			return all(ask("POST", "/", fields(fmt.Sprintf("m%d", i), repos[i].Dir)))
		}},
		{"POST for a peer", 200, func(i int) (int, error) {
			return all(ask("POST", "/", fields(fmt.Sprintf("m%d", i), repos[i].Dir), "Sould-Peer", "another", "Sould-Via", "another"))
		}},
		{"DELETE, and POST anew", 404, func(i int) (int, error) {
			path := fmt.Sprintf("/own/m%d", own.Add(1))
			post := ask("POST", "/", fields(path[1:], repos[i].Dir))
			if _, err := all(post, ask("GET", path, ""), ask("DELETE", path, ""), post, ask("GET", path, ""), ask("DELETE", path, "")); err != nil {
				return 0, err
			}
			a, err := send("GET", path, "")
			if err != nil {
				return 0, err
			}
			return a.StatusCode, nil
		}},
		{"clone and fetch", 200, func(i int) (int, error) {
			to := filepath.Join(dir, fmt.Sprint("clone", own.Add(1)))
			for _, command := range [][]string{
				{"clone", "--quiet", "--mirror", fmt.Sprintf("%s/m%d", d.url, i), to},
				{"--git-dir=" + to, "fetch", "--quiet", "--prune"},
				{"--git-dir=" + to, "fsck", "--connectivity-only"},
			} {
				if out, err := origin.Command(command...).CombinedOutput(); err != nil {
					return 0, fmt.Errorf("git %s: %w: %s", command[0], err, out)
				}
			}
			return 200, os.RemoveAll(to)
		}},
		{"status", 200, func(i int) (int, error) {
			for _, query := range []string{"", "?format=json", fmt.Sprintf("?format=toml&name=m%d", i)} {
				first, err := send("GET", "/x/status"+query, "")
				if err != nil {
					return 0, err
				}
				again, err := send("GET", "/x/status"+query, "", "If-None-Match", first.Header.Get("Etag"))
				if err != nil {
					return 0, err
				}
				// Much may have changed between the two.
				if first.StatusCode != 200 || again.StatusCode != 200 && again.StatusCode != 304 {
					return 0, fmt.Errorf("%s: %s, then %s", query, first.Status, again.Status)
				}
			}
			return 200, nil
		}},
		{"304", 304, func(i int) (int, error) {
			first, err := send("HEAD", fmt.Sprintf("/m%d", i), "")
			if err != nil {
				return 0, err
			}
			// By its id: the branch may move between the two.
			again, err := send("GET", fmt.Sprintf("/m%d?ref=%s", i, first.Header.Get("X-Revision")), "", "If-None-Match", first.Header.Get("Etag"))
			if err != nil {
				return 0, err
			}
			return again.StatusCode, nil
		}},
		{"cut off", 0, func(i int) (int, error) { // half a request, and half an answer
			for _, text := range []string{"GET /m0 HT", fmt.Sprintf("GET /m%d?format=tar.gz HTTP/1.1\r\nHost: x\r\n\r\n", i)} {
				c, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
				if err != nil {
					return 0, err
				}
				fmt.Fprint(c, text)
				c.Close()
			}
			return 0, nil
		}},
		simple("GET", 206, "GET", "/m#", "Range", "bytes=100-199"),
		simple("GET", 416, "GET", "/m#", "Range", "bytes=99999999-"),
		simple("HEAD", 200, "HEAD", "/m#?format=zip"),
		simple("GET", 200, "GET", "/m#", "Cache-Control", "no-cache"),
		simple("GET", 412, "GET", "/m#?contains="+strings.Repeat("ab", 20)),
		simple("the refs for a peer", 200, "GET", "/m#/info/refs?service=git-upload-pack", "Sould-Peer", "another"),
		simple("health", 200, "GET", "/x/health"),
		simple("POST", 401, "POST", "/", "Authorization", bearer(stranger)),
		simple("DELETE", 401, "DELETE", "/m#", "Authorization", ""),
		simple("DELETE", 404, "DELETE", "/none"),
		simple("POST", 403, "POST", "/", "Sec-Fetch-Site", "cross-site"),
		simple("POST", 415, "POST", "/", "Content-Type", "text/plain"),
	}
	for path, want := range map[string]int{
		"/m#": 200, "/m#?format=tar.gz": 200, "/m#?format=tar.zst": 200, "/m#?format=zip": 200, "/m#?path=dir&prefix=p": 200,
		"/m#?ref=none": 404, "/none": 404, "/m#?path=none": 404, "/m#?ref=-x": 400, "/../etc": 400, "/x/none": 404,
	} {
		kinds = append(kinds, simple("GET", want, http.MethodGet, path))
	}
	for method, path := range map[string]string{"PUT": "/m#", "POST": "/m#", "GET": "/"} {
		kinds = append(kinds, simple(method, 405, method, path))
	}
	return kinds
}
