package tests

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browserAccept is what browsers send.
const browserAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

// page gets a page as a browser does.
func (d *daemon) page(path string, headers ...string) answer {
	d.t.Helper()
	return d.get(path, append([]string{"Accept", browserAccept}, headers...)...)
}

// pageHeaders are those of every page.
var pageHeaders = []string{
	"Content-Type", "text/html; charset=utf-8", "Cache-Control", "no-store", "Vary", "Accept", "X-Content-Type-Options", "nosniff",
	"Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; " +
		"form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
}

func TestPages(t *testing.T) {
	t.Parallel()
	_, _, url := served(t)
	d := start(t)
	d.page("/").expect(t, 200, pageHeaders...).contains(t, "There is no mirror yet")
	d.pulled("my/first", url)
	d.pulled("second", url)

	// Only browsers get pages.
	for accept, status := range map[string]int{
		"": 405, "*/*": 405, "application/json": 405, "text/html;q=0": 405, "text/html;q=0.5, application/json": 405,
		"text/html": 200, "application/json;q=0.5, TEXT/HTML": 200,
	} {
		if a := d.get("/", "Accept", accept).expect(t, status); status == 405 && a.Header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%q: Allow is %q", accept, a.Header.Get("Allow"))
		}
	}
	d.get("/").contains(t, "/x/status")
	d.get("/x/why/").expect(t, 400).contains(t, "the name of a mirror is missing")
	if a := d.do("HEAD", "/", nil, "Accept", browserAccept).expect(t, 200, pageHeaders...); len(a.body) > 0 {
		t.Error("HEAD has a body")
	}

	// What is on them.
	first, second := `href="/x/mirror/my/first"`, `href="/x/mirror/second"`
	d.page("/").contains(t, first, second, "2 of 2")
	found := d.page("/?q=FIR&state=ok&sort=age&from=-7&utm=x").expect(t, 200).contains(t, first, "1 to 1 of 1")
	if strings.Contains(found.text(), second) {
		t.Error("a search shows what it does not find")
	}
	d.page("/?state=failing").expect(t, 200).contains(t, "No mirror fits")
	d.page("/x/mirror/my/first").expect(t, 200, pageHeaders...).contains(t,
		"git clone "+d.url+"/my/first", `href="/my/first?format=tar.zst"`, "is as its origin was", "1 ref changed", "127.0.0.1",
		`format=tar.gz&amp;ref=refs%2Fheads%2Fmain`, url)
	d.page("/x/mirror/none").expect(t, 404, pageHeaders...).contains(t, "none is not here")
	d.page("/x/mirror/..").expect(t, 400)
	d.page("/x/mirror/").expect(t, 404)

	// The files that they name are there, and may be kept.
	for _, file := range regexp.MustCompile(`(?:href|src)="(/x/page/[^"]+)"`).FindAllStringSubmatch(d.page("/").text(), -1) {
		a := d.get(file[1]).expect(t, 200, "Cache-Control", "private, max-age=31536000, immutable", "X-Content-Type-Options", "nosniff")
		d.get(file[1], "If-None-Match", a.Header.Get("Etag")).expect(t, 304)
		path, _, _ := strings.Cut(file[1], "?")
		d.get(path).expect(t, 200, "Cache-Control", "no-cache")
	}
}

// TestPagesShowNoCredentials: neither of an origin, nor of one that was refused.
func TestPagesShowNoCredentials(t *testing.T) {
	t.Parallel()
	_, server, url := served(t)
	server.Require("jack", "s3cret-word")
	d := start(t)
	d.pulled("m", strings.Replace(url, "http://", "http://jack:s3cret-word@", 1))
	d.post("m", "http://jack:s3cret-word@127.0.0.1:1/x.git").expect(t, 409)
	server.Require("jack", "another")
	d.post("m", url).expect(t, 500)
	tellsNothing(t, []string{"s3cret"}, d.page("/").text(), d.page("/x/mirror/m").text(), d.why("m", 200))
}

// TestPagesAskForAToken: with read_token they do by Basic, as browsers know it.
func TestPagesAskForAToken(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef0123"
	d := start(t, fmt.Sprintf("read_token = %q", token))
	for _, path := range []string{"/", "/x/mirror/m", "/x/why/m", "/x/page/style.css"} {
		d.page(path).expect(t, 401, "WWW-Authenticate", `Basic realm="sould"`)
		if got := d.page(path, "Authorization", basic(token)).StatusCode; got == 401 {
			t.Errorf("%s: the token does not help", path)
		}
	}
}

// TestAPageThatWaits is answered when something changes, when its time is over, and when the server
// stops.
func TestAPageThatWaits(t *testing.T) {
	t.Parallel()
	url, arrived, held := heldOrigin(t)
	d := start(t)
	eventually(t, "all is read", func() bool { return !d.status("").Loading })
	etag := d.page("/").Header.Get("Etag")
	d.page("/", "If-None-Match", etag).expect(t, 304)
	d.page("/?wait=1ms", "If-None-Match", etag).expect(t, 304)
	d.page("/?wait=nonsense", "If-None-Match", etag).expect(t, 304)
	d.page("/?wait=1h", "If-None-Match", `"another"`).expect(t, 200) // it has no reason to wait

	waiting := func(etag string) <-chan answer {
		done := make(chan answer, 1)
		go func() {
			a, err := d.try("GET", "/?wait=1h", nil, "Accept", browserAccept, "If-None-Match", etag)
			if err != nil {
				a.Response = &http.Response{Status: err.Error()}
			}
			done <- a
		}()
		return done
	}
	first := waiting(etag)
	posted := d.posting("m", url)
	<-arrived
	a := <-first
	if a.StatusCode != 200 || a.Header.Get("Etag") == etag {
		t.Errorf("after a change: %s, ETag %s", a.Status, a.Header.Get("Etag"))
	}
	held.release()
	(<-posted).expect(t, 200)

	last := waiting(d.page("/").Header.Get("Etag"))
	select {
	case a := <-last:
		t.Errorf("nothing has changed, and there was an answer: %s", a.Status)
	case <-time.After(100 * time.Millisecond): // it may just be on its way: then what follows ends it as well
	}
	d.stop()
	(<-last).expect(t, 304)
	if strings.Contains(d.log.String(), "cut short") {
		t.Errorf("a page that waits keeps the server from stopping:\n%s", d.log)
	}
}

// TestPagesThatWaitAreBounded: whoever leaves many pages open takes the server's places from nobody.
// One that is too many is answered at once.
func TestPagesThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	const most = 256 / 32
	_, _, url := served(t)
	d := prepare(t)
	d.ulimit = "-n 256"
	d.run()
	eventually(t, "all is read", func() bool { return !d.status("").Loading })
	etag, began := d.page("/").Header.Get("Etag"), time.Now()
	answers := make(chan answer, most+1)
	for range most + 1 {
		go func() {
			a, err := d.try("GET", "/?wait=1h", nil, "Accept", browserAccept, "If-None-Match", etag)
			if err != nil {
				a.Response = &http.Response{Status: err.Error()}
			}
			answers <- a
		}()
	}
	if a := <-answers; a.StatusCode != 304 || time.Since(began) > 20*time.Second {
		t.Errorf("one too many is answered after %s: %s", time.Since(began), a.Status)
	}
	d.pulled("m", url)
	for range most {
		if a := <-answers; a.StatusCode != 200 {
			t.Errorf("one that waited is answered after a change: %s", a.Status)
		}
	}
}
