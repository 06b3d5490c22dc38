package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/tests/origin"
)

func TestLater(t *testing.T) {
	const url = "fatal: unable to access 'http://h/returned error: 429 timed out/': "
	for _, c := range []struct {
		err   error
		retry time.Duration
		down  bool
	}{
		{nil, 0, false},
		{errors.New("timed out"), 0, false},
		{&Error{Stderr: url + "The requested URL returned error: 429"}, time.Minute, false},
		{&Error{Stderr: url + "The requested URL returned error: 429", RetryAfter: time.Second}, time.Second, false},
		{fmt.Errorf("x: %w", &Error{Stderr: url + "The requested URL returned error: 403", RetryAfter: time.Hour}), time.Hour, false},
		{&Error{Stderr: url + "The requested URL returned error: 403"}, 0, false},
		{&Error{Stderr: "fatal: repository 'http://h/503 timed out/' not found"}, 0, false},
		{&Error{Stderr: url + "The requested URL returned error: 503"}, 0, true},
		{&Error{Stderr: url + "Could not resolve host: h"}, 0, true},
		{&Error{Stderr: url + "Failed to connect to h port 1 after 0 ms: Connection refused"}, 0, true},
		{&Error{Stderr: "ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository."}, 0, true},
		{&Error{Stderr: "git@h: Permission denied (publickey)."}, 0, false},
		{&Error{Err: context.DeadlineExceeded}, 0, true},
		{&Error{Stderr: "fatal: cannot create thread: No space left on device\nThe requested URL returned error: 503"}, 0, false},
	} {
		if got := RetryAfter(c.err); got != c.retry {
			t.Errorf("%v: RetryAfter is %s, want %s", c.err, got, c.retry)
		}
		if got := IsServerDown(c.err); got != c.down {
			t.Errorf("%v: IsServerDown is %v", c.err, got)
		}
	}
}

// TestListThatComesTooEarly: what a server says of the time is known, and it is asked once.
func TestListThatComesTooEarly(t *testing.T) {
	for status, wants := range map[int]string{429: "the origin asks to come again in 42s", 403: "the origin asks to come again in 42s", 503: "the origin asks to come again in 42s"} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("Retry-After", "42")
			http.Error(w, "slowly", status)
		}))
		t.Cleanup(server.Close)
		_, err := New(Options{}).List(t.Context(), Remote{URL: server.URL + "/r"})
		if RetryAfter(err) != 42*time.Second || !strings.HasPrefix(err.Error(), wants) || !strings.Contains(err.Error(), "slowly") || asked > 1 && status != 503 {
			t.Errorf("%d, asked %d times: %v", status, asked, err)
		}
	}
}

// TestTransferThatComesTooEarly: what a server says of the time is known, too, where it refuses the objects
// alone, which git asks for.
func TestTransferThatComesTooEarly(t *testing.T) {
	root := t.TempDir()
	r := origin.New(t, filepath.Join(root, "r.git"))
	r.Commit("main", map[string]string{"a": "1"})
	id := strings.TrimSpace(r.Git("rev-parse", "main"))
	server := origin.ServeHTTP(t, root)
	g := New(Options{})
	for _, c := range []struct {
		status        int
		header, value string
		retry         time.Duration
		down, refused bool
	}{
		{429, "Retry-After", "42", 42 * time.Second, false, false},
		{429, "Retry-After", "-1", time.Minute, false, false},
		{429, "X-Other", "1", time.Minute, false, false},
		{429, "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT", time.Hour, false, false},
		{503, "Retry-After", "42", 42 * time.Second, true, false},
		{503, "X-Other", "1", 0, true, false},
		{403, "X-RateLimit-Reset", "42", 42 * time.Second, false, false},
		{403, "X-Other", "1", 0, false, true},
		{404, "Retry-After", "42", 0, false, true},
	} {
		server.Be(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
			body, _ := io.ReadAll(r.Body)
			if r.Body = io.NopCloser(bytes.NewReader(body)); !bytes.Contains(body, []byte("want ")) {
				w.Header().Set("Retry-After", "7") // nobody asks that of what is answered
				git.ServeHTTP(w, r)
				return
			}
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set(c.header, c.value)
			http.Error(w, "slowly", c.status)
		})
		for _, mode := range []FetchMode{{}, {Clone: true}} {
			repo := g.Repo(filepath.Join(t.TempDir(), "mirror"))
			if err := repo.Init(t.Context(), 40, ""); err != nil {
				t.Fatal(err)
			}
			_, err := repo.Fetch(t.Context(), Remote{URL: server.URL + "/r.git"}, []string{id}, mode, nil)
			if err == nil || RetryAfter(err) != c.retry || IsServerDown(err) != c.down || IsRefused(err) != c.refused {
				t.Errorf("%d %s: %s, %+v: %s, down %v, refused %v: %v", c.status, c.header, c.value, mode, RetryAfter(err), IsServerDown(err), IsRefused(err), err)
			}
		}
	}
}

// TestLastAnswer: a trace comes in any pieces, and its last answer counts.
func TestLastAnswer(t *testing.T) {
	const trace = "12:00:00.1 http.c:700    <= Recv header, 0000000024 bytes (0x00000018)\n" +
		"12:00:00.1 http.c:712    <= Recv header: HTTP/1.1 200 OK\n" +
		"12:00:00.1 http.c:712    <= Recv header: Retry-After: 1\n" +
		"12:00:00.2 http.c:712    => Send header: Retry-After: 2\n" +
		"12:00:00.2 http.c:712    <= Recv header: HTTP/2 429 \n" +
		"12:00:00.2 http.c:712    <= Recv header: retry-after:  30 \r\n" +
		"12:00:00.2 http.c:712    <= Recv header: x-long: %s\n" +
		"12:00:00.2 http.c:712    <= Recv header: date: Sat, 28 Nov 2026 12:00:00 GMT\n" +
		"12:00:00.2 http.c:712    <= Recv header: retry-after: 99"
	text := fmt.Sprintf(trace, strings.Repeat("x", 100<<10))
	for _, size := range []int{1, 7, 4096, len(text)} {
		var a lastAnswer
		for rest := []byte(text); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if n, err := a.Write(rest[:min(size, len(rest))]); n != min(size, len(rest)) || err != nil {
				t.Fatal(n, err)
			}
		}
		e, other := &Error{Stderr: "fatal: returned error: 429"}, &Error{Stderr: "fatal: 'returned error: 429' returned error: 503"}
		a.explain(e)
		a.explain(other)
		if e.RetryAfter != 30*time.Second || other.RetryAfter != 0 || cap(a.line) > 4*maxTraceLine {
			t.Errorf("in pieces of %d: %s, %s, %d bytes kept", size, e.RetryAfter, other.RetryAfter, cap(a.line))
		}
	}
}
