package tests

import (
	"fmt"
	"net"
	"net/http"
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
// to; afterwards nothing is held open. Run with -race, it looks for data races: the
// daemon is then built with the detector and ends at the first one.
func TestRaceMix(t *testing.T) {
	t.Parallel()
	const clients, mirrors = 32, 4
	var repos []*origin.Repo
	for range mirrors {
		r := newOrigin(t)
		r.Commit("main", map[string]string{"a": noise(1, 100_000), "dir/b": "b"})
		repos = append(repos, r)
	}
	slave := start(t)
	// Without a cache nothing is kept open for readers to come.
	plain, master := []string{`cache_size = 0`}, []string{"master = true", slaves(slave.url), `cache_size = "1MiB"`}
	d := start(t, plain...)
	for i, r := range repos {
		d.pulled(fmt.Sprintf("m%d", i), r.Dir)
	}
	before := d.descriptors()

	kinds := raceKinds(d, repos)
	var requests, posts atomic.Int64
	end := time.Now().Add(shortOrLong(3*time.Second, time.Minute))
	random := seeded(t)
	var all sync.WaitGroup
	for range clients {
		order := random.Perm(len(kinds))
		all.Go(func() {
			for n := 0; time.Now().Before(end) && !t.Failed(); n++ {
				k := kinds[order[n%len(order)]]
				status, err := k.do(n % mirrors)
				if err != nil || status != k.want {
					t.Errorf("%s: status %d, want %d, %v", k.what, status, k.want, err)
				}
				requests.Add(1)
				if k.what == "POST" {
					posts.Add(1)
				}
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
	t.Logf("%d requests, %d POSTs among them, %d reloads", requests.Load(), posts.Load(), reloads)
	if n := strings.Count(d.log.String(), "not reloaded"); n > 0 {
		t.Errorf("%d reloads were refused", n)
	}
	slave.stop() // and with it the connections to it
	eventually(t, "no child is left", func() bool { return len(d.holders()) == 0 })
	if !within(patient, func() bool { return d.descriptors() <= before }) {
		t.Errorf("%d descriptors are open, at the beginning %d", d.descriptors(), before)
	}
	for i, r := range repos {
		name := fmt.Sprintf("m%d", i)
		d.pulled(name, r.Dir)
		d.get("/"+name).expect(t, 200, "X-Revision", r.Git("rev-parse", "main"))
		d.fsck(name)
	}
	d.clean()
}

// raceKind is a request and what must come of it.
type raceKind struct {
	what string
	want int
	do   func(mirror int) (status int, err error)
}

func raceKinds(d *daemon, repos []*origin.Repo) []raceKind {
	send := func(method, path, body string, headers ...string) (answer, error) {
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
	kinds := []raceKind{
		{"POST", 200, func(i int) (int, error) {
			a, err := send("POST", "/", fmt.Sprintf("name=m%d&origin=%s", i, repos[i].Dir), "Content-Type", formType)
			if err == nil && a.StatusCode != 200 {
				err = fmt.Errorf("%s", a.text())
			}
			if err != nil {
				return 0, err
			}
			return a.StatusCode, nil
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
