package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// browser is a tab of a real browser. What it complains of fails the test: errors and warnings on the
// console, breaches of the Content-Security-Policy, exceptions, and dialogs, which foreign words would
// open if they were taken for code.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex // guards complaints
	complaints []string
}

// newBrowser opens a browser, if the machine has one.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no chromium here, which shows the pages")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(patient))
	ctx, closeBrowser := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(closeBrowser)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	b := &browser{t: t, ctx: ctx}
	console := chromedp.Console(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for message, err := range console {
			if err != nil {
				return // the end
			}
			b.complain(message.String() + " " + message.URL)
		}
	})
	t.Cleanup(reading.Wait)
	t.Cleanup(closeTab) // before
	if err := chromedp.Listen(ctx, func(event any) {
		if dialog, ok := event.(*page.EventJavascriptDialogOpening); ok {
			b.complain("dialog: " + dialog.Message)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

// complain takes down what the browser complains of.
func (b *browser) complain(words string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, words)
}

// quiet checks that the browser has not complained.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, complaint := range b.complaints {
		b.t.Errorf("the browser complains: %s", complaint)
	}
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patient)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// ask evaluates an expression in the page.
func ask[T any](b *browser, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// see waits until an expression is true in the page.
func (b *browser) see(expression string) {
	b.t.Helper()
	ok := within(patient, func() bool { // also while another page is being loaded
		is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		return err == nil && is
	})
	if !ok {
		b.t.Fatalf("%s does not become true\n%s", expression, ask[string](b, "document.body.innerText"))
	}
}

// quoted is a text as JavaScript.
func quoted(text string) string {
	q, _ := json.Marshal(text)
	return string(q)
}

// says is an expression that is true if an element of the page has that text in it.
func says(text string) string { return "document.body.innerText.includes(" + quoted(text) + ")" }

const (
	evilTag   = `"><script>alert(1)</script><img/src=x/onerror=alert(2)>`
	evilRef   = `<img/src=x/onerror=alert(3)>'"&` + "`" + `{{.}}`
	evilWords = `</p><script>alert(4)</script><svg onload=alert(5)><style>*{display:none}</style> javascript:alert(6)`
)

// evilSlave is a server that says of itself, in each field, what would be code if it were taken for
// it.
func evilSlave(t *testing.T) string {
	status, _ := json.Marshal(map[string]any{
		"role": "slave", "id": evilWords, "version": evilWords, "total": 2,
		"mirrors": []any{map[string]any{
			"name": "my/mirror", "state": "failed", "error": evilWords, "origin": "https://" + evilTag, "branch": evilRef,
			"fingerprint": evilTag, "modify_date": 1, "from": evilWords,
		}, map[string]any{"name": evilTag, "state": evilWords, "fingerprint": "1"}},
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost {
			w.WriteHeader(500)
			fmt.Fprintf(w, `{"status":500,"state":"failed","error":%s}`, quoted(evilWords))
			return
		}
		_, _ = w.Write(status)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// evilOrigin refuses everything with such words.
func evilOrigin(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(403)
		_, _ = io.WriteString(w, evilWords)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/" + evilTag
}

// TestPagesInABrowser: what is on the pages is read as words, whatever it is; they live; they can be
// used with a keyboard; and they fit into a telephone.
func TestPagesInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	defer b.quiet()
	r, _, url := served(t)
	for _, ref := range []string{"refs/heads/" + evilRef, "refs/tags/" + evilTag} {
		r.GitIn(fmt.Sprintf("create %s\x00%s\x00", ref, r.Git("rev-parse", "main")), "update-ref", "-z", "--stdin")
	}
	slave := start(t)
	d := start(t, "master = true", slaves(slave.url, evilSlave(t), "127.0.0.1:1"), `timeout = "5s"`, `retry = "1h"`)
	d.post("my/mirror", url).expect(t, 502)
	d.post("fails/@~+odd_name", evilOrigin(t)).expect(t, 503)
	if err := os.CopyFS(d.mirror("fails/@~+odd_name"), os.DirFS(d.mirror("my/mirror"))); err != nil {
		t.Fatal(err)
	}
	d.post("fails/@~+odd_name", evilOrigin(t), "move", url).expect(t, 503)

	b.run(chromedp.Navigate(d.url + "/"))
	b.see(says("Live"))
	b.see(says("behind"))
	b.see(says("2 mirrors"))
	b.see(says(`<svg onload=alert(5)>`))
	ask[bool](b, "window.stays = true")
	b.shoot("overview")

	// It lives: what comes is shown without a reload, and the text in the search field stays.
	b.run(chromedp.SendKeys(chromedp.ID("q"), "mirr"))
	d.post("another", url).expect(t, 502)
	b.see(`!!document.querySelector('a[href="/x/mirror/another"]')`)
	if !ask[bool](b, `window.stays && document.activeElement.id === "q" && document.activeElement.value === "mirr"`) {
		t.Error("the page was loaded again, or what was typed is gone")
	}
	b.run(chromedp.KeyEvent("\r"))
	b.see(`document.querySelectorAll("#mirrors tbody tr").length === 1 && location.search.includes("q=mirr")`)

	// With a keyboard: the first stop leads past the head.
	b.run(chromedp.Navigate(d.url+"/"), chromedp.KeyEvent("\t"))
	if got := ask[string](b, "document.activeElement.textContent"); got != "Skip to the content" {
		t.Errorf("the first stop of the keyboard is %q", got)
	}
	b.run(chromedp.KeyEvent("\r"))
	b.see(`document.activeElement.id === "main"`)

	// A mirror, with all that its origin says.
	b.run(chromedp.Click(chromedp.CSS(`#mirrors a[href="/x/mirror/my/mirror"]`)))
	b.see(says(evilRef) + " && " + says("refs/tags/"+evilTag))
	b.see(says("git clone " + d.url + "/my/mirror"))
	if got := ask[string](b, `[...document.querySelectorAll("script, img, svg, style, iframe, object")].map(e => e.outerHTML).join()`); strings.Count(got, "<") != 2 || !strings.HasPrefix(got, `<script src="/x/page/script.js`) {
		t.Errorf("there is on the page: %s", got)
	}
	b.see("[...document.images].length === 0 && " + says("127.0.0.1:1"))
	b.shoot("mirror")
	b.run(chromedp.Navigate(d.url + "/x/mirror/fails/@~+odd_name"))
	b.see(says("could not be updated") + " && " + says("What you can do"))
	b.shoot("failing")
	b.wantsNames(d.url)
}

// wantsNames checks that all that can be used on the page has a name for those who hear it.
func (b *browser) wantsNames(base string) {
	b.t.Helper()
	for _, path := range []string{"/", "/x/mirror/my/mirror"} {
		b.run(chromedp.Navigate(base + path))
		bad := ask[[]string](b, `[
			...[...document.querySelectorAll("a, button")].filter(e => !(e.getAttribute("aria-label") || e.textContent).trim()),
			...[...document.querySelectorAll("input, select")].filter(e => !e.labels.length),
			...[...document.querySelectorAll("table")].filter(e => !e.caption || [...e.querySelectorAll("th")].some(th => !th.scope)),
			...[...document.querySelectorAll("section, nav")].filter(e => !e.getAttribute("aria-label") && !document.getElementById(e.getAttribute("aria-labelledby"))),
			...[...document.querySelectorAll("[id]")].filter(e => document.querySelectorAll("#" + CSS.escape(e.id)).length > 1),
		].map(e => e.outerHTML.slice(0, 200))`)
		for _, one := range bad {
			b.t.Errorf("%s: it lacks a name, or has that of another: %s", path, one)
		}
		if got := ask[string](b, `[document.documentElement.lang, document.querySelectorAll("main, h1, body > header, body > footer").length].join()`); got != "en,4" {
			b.t.Errorf("%s: language and landmarks are %s", path, got)
		}
	}
}

// shoot checks that the page fits into screens of three widths and, if SOULD_SCREENSHOTS names a
// directory, writes there what is to be seen, by day and by night.
func (b *browser) shoot(name string) {
	b.t.Helper()
	for _, width := range []int64{360, 800, 1400} {
		b.run(chromedp.EmulateViewport(width, 900))
		if got := ask[int64](b, "document.documentElement.scrollWidth"); got > width {
			b.t.Errorf("%s is %d wide on a screen of %d", name, got, width)
		}
		dir := os.Getenv("SOULD_SCREENSHOTS")
		if dir == "" {
			continue
		}
		for _, scheme := range []string{"light", "dark"} {
			b.run(func(ctx context.Context, target *chromedp.Target) (none chromedp.Void, err error) {
				_, err = cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
				})
				return none, err
			})
			picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				b.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), picture, 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}
