package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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
