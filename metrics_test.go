package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/logging"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/storage"
)

// TestMetricsAreDocumented keeps docs/metrics.md whole: each metric has a row there, with its type
// and labels, and no row is about one that does not exist.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		name := strings.Trim(cells[0], "` ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		if rows[name] != nil {
			t.Errorf("%s is listed twice", name)
		}
		cells = strings.Split(line, "|")
		rows[name] = []string{strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3]), strings.TrimSpace(cells[4])}
	}
	for _, m := range metricTable {
		row := rows[m.name]
		delete(rows, m.name)
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		if row == nil || row[0] != string(m.kind) || row[1] != labels || row[2] == "" {
			t.Errorf("docs/metrics.md has %q of %s, a %s with the labels %s", row, m.name, m.kind, labels)
		}
	}
	for name := range rows {
		t.Errorf("docs/metrics.md has %s, which is not measured", name)
	}
}

// TestEveryErrorHasAReason: no answer that is an error is left out of the metrics.
func TestEveryErrorHasAReason(t *testing.T) {
	all := newRejections()
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
		if all.count(c.err); all[c.want].Load() == 0 {
			t.Errorf("%v is not counted as %s", c.err, c.want)
		}
	}
}

func TestSumOfMirrors(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	all := sumUp(nil)
	if len(all.states) != len(states) || !all.oldest.IsZero() {
		t.Errorf("of no mirrors: %+v", all)
	}
	for _, one := range []oneMirror{
		{state: mirror.Success, pulled: at(100), refs: 1, size: 10},
		{state: mirror.Success, pulled: at(50), refs: 2, size: 20},
		{state: mirror.Failed, pulled: at(80), refs: 3, size: 30, damaged: true},
		{state: mirror.Failed, pulled: at(70), refs: 4, size: 40},
		{state: mirror.Failed, refs: 5, size: 50}, // never pulled
		{state: mirror.Unknown},
	} {
		all.add(one)
	}
	if all.states[mirror.Success] != 2 || all.states[mirror.Failed] != 3 || all.states[mirror.Unknown] != 1 || all.refs != 15 ||
		all.size != 150 || all.damaged != 1 || !all.oldest.Equal(at(50)) || !all.oldestFailed.Equal(at(70)) {
		t.Errorf("%+v", all)
	}
}

func TestServersShown(t *testing.T) {
	if n := len(shown(make([]cluster.Comparison, 5000))); n != maxServersShown {
		t.Errorf("%d of 5000 servers are shown", n)
	}
	if n := len(shown(make([]cluster.Comparison, 3))); n != 3 {
		t.Errorf("%d of 3 servers are shown", n)
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
	set := newSettings(config, "test", true, dir)
	s.current.Store(set)
	if s.mirrors, err = newMirrors(s.life, dir, s.epoch, log.Logger, set, s.settings); err != nil {
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

// TestReady: a server is ready when it has looked at its storage, as long as that is there, and
// until it stops. It is alive all the time.
func TestReady(t *testing.T) {
	s := newTestServer(t, "")
	expect := func(when string, want int, words string) {
		t.Helper()
		if status, _, body := ask(t, s, "/x/health/ready"); status != want || !strings.Contains(body, words) {
			t.Errorf("%s: %d %s", when, status, body)
		}
		if status, _, body := ask(t, s, "/x/health/live"); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: it is not alive: %d %s", when, status, body)
		}
	}
	expect("before the first look", 503, "the first look at the storage is not over yet")
	if status, _, body := ask(t, s, "/x/health"); status != http.StatusOK {
		t.Errorf("/x/health waits for the first look: %d %s", status, body)
	}
	s.mirrors.run()
	<-s.mirrors.store.Ready()
	expect("after it", 200, "ok")

	moved := s.dir.Path + ".moved"
	if err := os.Rename(s.dir.Path, moved); err != nil {
		t.Fatal(err)
	}
	for s.dir.Check(t.Context()) == nil { // it is tried once a second
		time.Sleep(10 * time.Millisecond)
	}
	expect("without a storage", 503, "can't use the storage")
	if err := os.Rename(moved, s.dir.Path); err != nil {
		t.Fatal(err)
	}
	s.stopping.Store(true)
	expect("at the end", 503, "shutting down")
}

// TestHostileLabels: whatever a label is, the answer can be read, and has one value a line.
func TestHostileLabels(t *testing.T) {
	s := newTestServer(t, "master = true\nslaves = [\"[::1]:80\", \"HTTP://Slave.Local\"]\n")
	s.version = "v1\"} 1\nsould_ready 7\n\\\xff\x00\u2028é"
	status, _, body := ask(t, s, "/x/metrics")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) .*|[a-z_]+(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})? \S+)\n$`)
	slaves := 0
	for text := range strings.Lines(body) {
		if !line.MatchString(text) || strings.HasPrefix(text, "sould_ready 7") {
			t.Errorf("a line %q", text)
		}
		if strings.Contains(text, `slave="[::1]:80"`) || strings.Contains(text, `slave="HTTP://Slave.Local"`) {
			slaves++
		}
	}
	if slaves != 2*2*3 { // a sum and a count of three results each
		t.Errorf("%d lines are about the two slaves", slaves)
	}
}

// TestScrapesAreBounded: who comes when many are being answered already is told to come again.
func TestScrapesAreBounded(t *testing.T) {
	s := newTestServer(t, "")
	s.metrics.scraping.Store(maxScrapes)
	if status, header, _ := ask(t, s, "/x/metrics"); status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d %v", status, header)
	}
	s.metrics.scraping.Store(maxScrapes - 1)
	if status, _, _ := ask(t, s, "/x/metrics"); status != http.StatusOK || s.metrics.scraping.Load() != maxScrapes-1 {
		t.Errorf("%d; %d are being answered", status, s.metrics.scraping.Load())
	}
	if n := s.rejected[reasonFull].Load(); n != 1 {
		t.Errorf("%d rejections are counted", n)
	}
}
