package lsrefs

import (
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/pktline"
)

func TestPlainURL(t *testing.T) {
	for raw, want := range map[string]bool{
		"http://h/r": true, "https://h:8443/r.git/": true, "http://[::1]:80/a%20b/r": true, "http://h": true, "http://h//r": true,
		"http://u@h/r": false, "http://h/r?x": false, "http://h/r#x": false, "http://h/./r": false, "http://h/a/..": false, "http://h/a b": false,
		"http://bücher/r": false, "http://h%2e/r": false, "http:///r": false, "HTTP://h/r": false, "ftp://h/r": false, "http://h/%zz": false, "": false,
		"http://h/%2e%2e/r": false,
	} {
		if _, err := plainURL(raw); (err == nil) != want {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestWantsBasic(t *testing.T) {
	for challenge, want := range map[string]bool{
		`Basic realm="git"`: true, `basic`: true, `Basic realm="a", charset="UTF-8"`: true,
		`Digest realm="x"`: false, `Basic realm="x", Digest realm="y"`: false, `Negotiate, Basic realm="x"`: false, `Basic realm="x", NTLM`: false, "": false,
	} {
		if got := wantsBasic(http.Header{"Www-Authenticate": {challenge}}); got != want {
			t.Errorf("%q: %v", challenge, got)
		}
	}
	if wantsBasic(http.Header{"Www-Authenticate": {"Basic", "Negotiate"}}) || wantsBasic(nil) {
		t.Error("several challenges, or none, are taken for Basic")
	}
}

// client asks a server that answers so.
func client(t *testing.T, answer http.HandlerFunc) (c *Client, url string) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	c = NewClient(Options{Getenv: environment("")})
	t.Cleanup(c.Close)
	return c, server.URL + "/r"
}

// TestAnswersForGit: each of them is asked for once, and then for a while not again.
func TestAnswersForGit(t *testing.T) {
	good := service + said(a+" refs/heads/main\x00")
	for what, test := range map[string]struct {
		status       int
		kind, answer string
	}{
		"another type":      {200, "text/plain", good},
		"a type with words": {200, advertType + "; charset=utf-8", good},
		"no content":        {204, advertType, ""},
		"a part":            {206, advertType, good},
		"who is it":         {401, "text/plain", "no"},
		"a proxy's":         {407, "text/plain", "no"},
		"a cookie wall":     {302, "text/html", "log in"},
		"a dumb server":     {200, "text/plain", a + "\trefs/heads/main\n"},
		"more than an end":  {200, advertType, good + "0000"},
		"an end too early":  {200, advertType, strings.TrimSuffix(good, "0000")},
		"a page":            {200, advertType, "<html>"},
	} {
		asked := 0
		c, url := client(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			w.Header().Set("Content-Type", test.kind)
			if test.status == 302 {
				w.Header().Set("Location", "/login")
			}
			w.WriteHeader(test.status)
			if test.status != 204 {
				_, _ = io.WriteString(w, test.answer)
			}
		})
		for range 3 {
			if l, err := c.List(t.Context(), Request{URL: url}); err == nil {
				t.Errorf("%s: %+v", what, l)
			}
		}
		if asked != 1 {
			t.Errorf("%s: asked %d times", what, asked)
		}
	}
}

// TestRefusalThatHasNoEnd: nobody waits for the rest of an answer that is unusual.
func TestRefusalThatHasNoEnd(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusFound, http.StatusOK} {
		c, url := client(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // the client has gone
		})
		if _, err := c.List(t.Context(), Request{URL: url}); !isUnusual(err) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// TestRefusals are told each time, and what both versions say.
func TestRefusals(t *testing.T) {
	for status, versions := range map[int]int{400: 2, 403: 1, 404: 2, 500: 2} {
		asked := 0
		c, url := client(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			http.Error(w, "no "+r.Header.Get("Git-Protocol"), status)
		})
		for n := range 3 {
			_, err := c.List(t.Context(), Request{URL: url})
			refusal := (*Refusal)(nil)
			if !errors.As(err, &refusal) || refusal.Status != status || refusal.Text != "no" ||
				(refusal.V2 != nil) != (versions == 2) || versions == 2 && refusal.V2.Text != "no version=2" {
				t.Errorf("%d: %v", status, err)
			}
			if asked != versions*(n+1) {
				t.Errorf("%d: asked %d times", status, asked)
			}
		}
		if _, err := c.List(t.Context(), Request{URL: url, V0: true}); err == nil || asked != 3*versions+1 {
			t.Errorf("%d: asked %d times: %v", status, asked, err)
		}
	}
}

// TestCookiesAndOtherServices: nothing that an answer says beside the list matters to the next.
func TestCookiesAndOtherServices(t *testing.T) {
	var seen []http.Header
	c, url := client(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header)
		w.Header().Set("Content-Type", advertType)
		w.Header().Set("Set-Cookie", "session=1")
		w.Header().Set("Alt-Svc", `h3=":443"; ma=86400`)
		w.Header().Set("Strict-Transport-Security", "max-age=86400")
		_, _ = io.WriteString(w, service+said(a+" refs/heads/main\x00"))
	})
	for range 2 {
		if _, err := c.List(t.Context(), Request{URL: url}); err != nil {
			t.Fatal(err)
		}
	}
	if seen[1].Get("Cookie") != "" || len(seen[0]) != len(seen[1]) {
		t.Errorf("%v", seen)
	}
}

// TestTooLongAList is one without end that a few bytes inflate to, and one of headers.
func TestTooLongAList(t *testing.T) {
	line := strings.Repeat(string(pktline.Append(nil, a+" refs/heads/"+strings.Repeat("x", 2000)+"\n")), 1000)
	c, url := client(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", advertType)
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, err := io.WriteString(z, service+string(pktline.Append(nil, a+" refs/heads/main\x00")))
		for sent := 0; err == nil && sent < 4*maxList; sent += len(line) {
			_, err = io.WriteString(z, line)
		}
	})
	if _, err := c.List(t.Context(), Request{URL: url}); !isUnusual(err) {
		t.Error(err)
	}
	c, url = client(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 2*maxHeader))
	})
	if _, err := c.List(t.Context(), Request{URL: url}); err == nil {
		t.Error("a header without end is read")
	}
}

func TestHints(t *testing.T) {
	m := hints{of: make(map[string]hint)}
	for i := range 2 * maxHints {
		m.setV2(strings.Repeat("x", i), true)
	}
	if len(m.of) != maxHints || !m.get(strings.Repeat("x", 2*maxHints-1)).v2 {
		t.Errorf("%d origins are remembered", len(m.of))
	}
	m.leaveToGit("y", false)
	if n := m.get("y"); !n.isForGit() || n.v2 {
		t.Errorf("%+v", n)
	}
	m.setV2("y", false)
	if _, known := m.of["y"]; known {
		t.Error("what says nothing is remembered")
	}
	if (hint{forGit: time.Now().Add(-time.Second)}).isForGit() {
		t.Error("a hint lasts for ever")
	}
}

func TestTooManyUnwanted(t *testing.T) {
	list := func(heads, pulls int) (l List) {
		for range heads {
			l.Refs = append(l.Refs, Ref{Name: "refs/heads/x"})
		}
		for range pulls {
			l.Refs = append(l.Refs, Ref{Name: "refs/pull/x"})
		}
		return l
	}
	wanted := []string{"refs/heads/", "refs/tags/"}
	for _, test := range []struct {
		list     List
		prefixes []string
		want     bool
	}{
		{list(1, 2000), wanted, true}, {list(1, 2000), nil, false}, {list(1, 2000), []string{"refs/"}, false},
		{list(3000, 2000), wanted, false}, {list(1, 900), wanted, false}, {list(1, 2000), make([]string, maxPrefixes+1), false},
	} {
		if got := tooManyUnwanted(test.list, test.prefixes); got != test.want {
			t.Errorf("%d refs for %d prefixes: %v", len(test.list.Refs), len(test.prefixes), got)
		}
	}
}

// TestUnacked: the kernel is told when to give up a connection.
func TestUnacked(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := newTransports(Options{Getenv: environment("")}).dialOnce(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if limit, known := unacked(conn.(*net.TCPConn)); known && limit != unackedTime {
		t.Errorf("it is given up after %s", limit)
	}
}
