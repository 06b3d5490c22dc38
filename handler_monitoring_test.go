package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/storage"
)

// TestEveryErrorHasAReason: no answer that is an error is left out of the metrics.
func TestEveryErrorHasAReason(t *testing.T) {
	all := newRejected()
	for kind, status := range statuses {
		if all[reason(fail(kind, "x"))] == nil {
			t.Errorf("kind %d (%d) has no reason", kind, status)
		}
	}
	for kind, status := range requestStatuses {
		if all[reason(&smarthttp.Error{Kind: kind})] == nil {
			t.Errorf("the kind %d (%d) of smarthttp has no reason", kind, status)
		}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("x"), "broken"}, {limiter.ErrBusy, "full"}, {errors.Join(errors.New("x"), limiter.ErrBusy), "full"},
		{mirror.ErrClosing, "unavailable"}, {mirror.ErrUnknown, "not_found"},
	} {
		if all.Count(reason(c.err)); all[c.want].Load() == 0 {
			t.Errorf("%v is not counted as %s", c.err, c.want)
		}
	}
}

// newTestServer returns a server of a new storage, which has not looked at it and does not listen.
func newTestServer(t *testing.T, lines string) *Server {
	t.Helper()
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config := defaultConfig()
	config.Storage = dir.Path
	if err := config.parse("test", lines, nil); err != nil {
		t.Fatal(err)
	}
	log := logging.New(io.Discard)
	s := newServer("", true, log, dir, nil)
	if err := s.wire(newSettings(config, "test", true, dir, s.logins, s.guard)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.end(mirror.ErrClosing)
		if err := errors.Join(s.mirrors.close(), dir.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask has a server answer a GET, over a real connection.
func ask(t *testing.T, s *Server, path string) (status int, header http.Header, body string) {
	t.Helper()
	server := httptest.NewServer(s)
	defer server.Close()
	answer, err := http.Get(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

// expectReady asks whether a server is ready. It is alive all the time.
func expectReady(t *testing.T, s *Server, when string, want int, words string) {
	t.Helper()
	if status, _, body := ask(t, s, "/x/health/ready"); status != want || !strings.Contains(body, words) {
		t.Errorf("%s: %d %s", when, status, body)
	}
	if status, _, body := ask(t, s, "/x/health/live"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("%s: it is not alive: %d %s", when, status, body)
	}
}

// TestReady: a server is ready when it has looked at its storage, as long as that is there, and
// until it stops.
func TestReady(t *testing.T) {
	s := newTestServer(t, "")
	expectReady(t, s, "before the first look", 503, "the first look at the storage is not over yet")
	if status, _, body := ask(t, s, "/x/health"); status != http.StatusOK {
		t.Errorf("/x/health waits for the first look: %d %s", status, body)
	}
	s.mirrors.run()
	<-s.mirrors.store.Ready()
	expectReady(t, s, "after it", 200, "ok")

	s.stopping.Store(true)
	expectReady(t, s, "at the end", 503, "shutting down")
}

// TestNotReadyWithoutAStorage: the first question finds that it is gone.
func TestNotReadyWithoutAStorage(t *testing.T) {
	s := newTestServer(t, "")
	s.mirrors.run()
	<-s.mirrors.store.Ready()
	moved := s.dir.Path + ".moved"
	if err := os.Rename(s.dir.Path, moved); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Rename(moved, s.dir.Path); err != nil {
			t.Error(err)
		}
	})
	expectReady(t, s, "without a storage", 503, "can't use the storage")
}

// TestScrapesAreBounded: who comes when many are being answered already is told to come again.
func TestScrapesAreBounded(t *testing.T) {
	s := newTestServer(t, "")
	for s.scrapes.Take(maxScrapes) {
	}
	if status, header, _ := ask(t, s, "/x/metrics"); status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d %v", status, header)
	}
	s.scrapes.Release()
	if status, _, _ := ask(t, s, "/x/metrics"); status != http.StatusOK || s.scrapes.Taken() != maxScrapes-1 {
		t.Errorf("%d; %d are being answered", status, s.scrapes.Taken())
	}
	if n := s.rejected[reasonFull].Load(); n != 1 {
		t.Errorf("%d rejections are counted", n)
	}
}
