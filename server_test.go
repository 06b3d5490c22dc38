package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/respond"
)

func TestRoute(t *testing.T) {
	s := &Server{}
	for _, c := range []struct {
		method, path string
		answered     bool
		allow        string
		page         bool // the client is a browser
	}{
		{"POST", "/", true, "", false}, {"POST", "", true, "", false},
		{"GET", "/", false, "GET, HEAD, POST", false}, {"PUT", "/", false, "GET, HEAD, POST", false},
		{"GET", "/", true, "", true}, {"HEAD", "/", true, "", true}, {"POST", "/", true, "", true}, {"PUT", "/", false, "GET, HEAD, POST", true},
		{"GET", "/a", true, "", false}, {"HEAD", "/a/b/", true, "", false},
		{"POST", "/a", false, "GET, HEAD, DELETE", false}, {"DELETE", "/a", true, "", false}, {"FOO", "/a", false, "GET, HEAD, DELETE", false},
		{"GET", "/x", true, "", false}, {"GET", "/x/none", true, "", false}, {"POST", "/x/none", true, "", false},
		{"GET", "/x/status", true, "", false}, {"HEAD", "/x/health", true, "", false}, {"POST", "/x/status", false, "GET, HEAD", false}, {"DELETE", "/x/health/", false, "GET, HEAD", false},
		{"GET", "/x/why/a/b", true, "", false}, {"POST", "/x/why/a", false, "GET, HEAD", false}, {"GET", "/x/mirror/a", true, "", false}, {"GET", "/x/page/style.css", true, "", false}, {"PUT", "/x/page/script.js", false, "GET, HEAD", false},
		{"GET", "/x/health/live", true, "", false}, {"HEAD", "/x/health/ready", true, "", false}, {"POST", "/x/health/ready", false, "GET, HEAD", false},
		{"GET", "/x/metrics", true, "", false}, {"HEAD", "/x/metrics", true, "", false}, {"PUT", "/x/metrics", false, "GET, HEAD", false},
	} {
		answer, allow := s.route(c.method, c.path, c.page)
		if (answer != nil) != c.answered || allow != c.allow {
			t.Errorf("%s %s: answered %v, allow %q", c.method, c.path, answer != nil, allow)
		}
	}
}

// held is an answer that tells whether anything may be left of it that no deadline
// is set for.
type held struct {
	*httptest.ResponseRecorder
	forever bool
}

func (h *held) WriteHeader(status int) {
	h.forever = true
	h.ResponseRecorder.WriteHeader(status)
}

func (h *held) Write(p []byte) (int, error) {
	h.forever = true
	return h.ResponseRecorder.Write(p)
}

func (h *held) SetWriteDeadline(at time.Time) error {
	h.forever = at.IsZero()
	return nil
}

// TestAnswersMustBeTakenIn: the end of an answer, or all of one without a body, is sent
// when its handler has returned.
func TestAnswersMustBeTakenIn(t *testing.T) {
	s := &Server{log: logging.New(io.Discard)}
	s.current.Store(&settings{})
	for _, method := range []string{"GET", "HEAD"} {
		w := &held{ResponseRecorder: httptest.NewRecorder()}
		s.ServeHTTP(w, httptest.NewRequest(method, "/x/none", nil))
		if w.Code != 404 || w.forever {
			t.Errorf("%s: %d; held without limit: %v", method, w.Code, w.forever)
		}
	}
}

func TestWantsJSON(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": true, "text/html, Application/JSON;q=0.9": true, "application/jsonp": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", accept)
		if got := respond.WantsJSON(r); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

func TestLogIsForPeople(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "1:2") // of another stream
	var b bytes.Buffer
	log := logging.New(&b)
	log.With("mirror", named("a/b")).Error("can't pull", "took", "0.10s", "odd", "a \"b\"\n", slog.String(logging.TreeKey, "x\n└─ y"))
	log.Debug("nobody wants to know")
	want := "ERROR can't pull mirror=a/b took=0.10s odd=\"a \\\"b\\\"\\n\"\n    x\n    └─ y\n"
	if _, got, _ := strings.Cut(b.String(), "Z "); got != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
