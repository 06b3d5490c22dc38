package download

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conditional"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/respond"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/tests/origin"
)

// sender is a sender of one mirror behind a server of HTTP.
type sender struct {
	*Sender
	t      *testing.T
	repo   *origin.Repo // the mirror's own files
	mirror *mirror.Mirror
	server *httptest.Server
	end    context.CancelCauseFunc // of Life
	log    logged
	begun  chan struct{} // has an element for each request
	ends   chan any      // and for each end: the error of Send, or what it panicked with
}

// logged is what was logged.
type logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// noise is text of that many bytes that takes as many when it is compressed.
func noise(size int) string {
	random := rand.NewChaCha8([32]byte{})
	text := make([]byte, size)
	_, _ = random.Read(text) // never fails
	return string(text)
}

// newSender returns one whose mirror m has the files a, b and c, with these options of archives.
func newSender(t *testing.T, opts archive.Options) *sender {
	t.Helper()
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	name, err := storage.ParseName("team/m")
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{t: t, begun: make(chan struct{}, 100), ends: make(chan any, 100)}
	s.repo = origin.New(t, dir.MirrorDir(name))
	s.repo.Commit("main", map[string]string{"a": "1", "b": strings.Repeat("2", 2<<20), "c": noise(2 * conn.Quick)})
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	life, end := context.WithCancelCause(context.Background())
	s.end = end
	store := mirror.NewStore(life, mirror.Parts{Dir: dir, Log: log, MaxLists: 1}, &mirror.Options{Git: git.New(git.Options{Leash: dir.Leash})})
	if s.mirror, err = store.Get(name); err != nil {
		t.Fatal(err)
	}
	cache, err := spool.Open(dir.Own("cache"), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	archives := archive.NewCache(cache, dir.Neutral, &opts)
	s.Sender = &Sender{
		Archives: archives, Prefetcher: archive.NewPrefetcher(archives, log), Packs: pack.NewMaker(cache, archives, log),
		Conns: conn.NewLimiter(256), Log: log, Life: life,
		Sent: Counters{Archives: new(atomic.Uint64), Bundles: new(atomic.Uint64), Unmodified: new(atomic.Uint64)},
	}
	s.Packs.Resize(1)
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		s.server.Close()
		end(mirror.ErrClosing)
		err := cache.Close()
		store.Wait()
		if err = errors.Join(err, dir.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// enough are options that bound nothing here.
var enough = archive.Options{MaxArchives: 1, Limit: 1 << 30, Timeout: time.Hour, Retry: time.Hour}

// request is what a request of HTTP asks of the mirror.
func (s *sender) request(r *http.Request) (Request, error) {
	parsed, err := archive.ParseRequest(r.URL)
	if err != nil {
		return Request{}, err
	}
	rev, err := archive.Resolve(r.Context(), s.mirror, parsed.Want.Ref)
	return Request{Request: parsed, Mirror: s.mirror, Revision: rev, Public: true}, err
}

func (s *sender) serve(w http.ResponseWriter, r *http.Request) {
	s.begun <- struct{}{}
	var end any
	defer func() {
		panicked := recover()
		if panicked != nil {
			end = panicked
		}
		s.ends <- end
		if panicked != nil {
			panic(panicked)
		}
	}()
	req, err := s.request(r)
	if err == nil {
		err = s.Send(w, conditional.WithRange(r), req)
	}
	if err != nil {
		end = err
		http.Error(w, err.Error(), http.StatusTeapot)
	}
}

// answer is one, as a client gets it.
type answer struct {
	*http.Response
	body []byte
	err  error // of reading the body
	end  any   // of Send
}

// do asks for something of the mirror, with these headers, and waits for the end of the answer.
func (s *sender) do(method, query string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequest(method, s.server.URL+"/team/m"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.server.Client().Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, query, err)
	}
	defer response.Body.Close()
	a := answer{Response: response}
	a.body, a.err = io.ReadAll(response.Body)
	a.end = <-s.ends
	return a
}

// get is do for a GET that must succeed with this status.
func (s *sender) get(status int, query string, headers ...string) answer {
	s.t.Helper()
	a := s.do(http.MethodGet, query, headers...)
	if a.StatusCode != status || a.err != nil || a.end != nil {
		s.t.Fatalf("%s: %s, %v, %v\n%s", query, a.Status, a.err, a.end, a.body[:min(len(a.body), 1000)])
	}
	return a
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// TestFiles: an archive and a bundle are whole, are the same bytes each time, and can be had in part, by
// condition, and as a digest.
func TestFiles(t *testing.T) {
	s := newSender(t, enough)
	for format, c := range map[string]struct {
		kind string
		sent *atomic.Uint64
	}{"tar": {"application/x-tar", s.Sent.Archives}, "bundle": {"application/x-git-bundle", s.Sent.Bundles}} {
		query := "?format=" + format
		whole := s.get(200, query)
		length, tag := len(whole.body), whole.Header.Get("Etag")
		if got := c.sent.Load(); got != uint64(length) || length == 0 {
			t.Errorf("%s: %d bytes are counted, %d have come", format, got, length)
		}
		again := s.get(200, query, "Want-Repr-Digest", "sha-256=1")
		if !bytes.Equal(again.body, whole.body) || again.ContentLength != int64(length) || again.Header.Get("Etag") != tag {
			t.Errorf("%s: the second time %d bytes of %d, %s", format, len(again.body), again.ContentLength, again.Header.Get("Etag"))
		}
		if part := s.get(206, query, "Range", "bytes=10-19", "If-Range", tag); !bytes.Equal(part.body, whole.body[10:20]) {
			t.Errorf("%s: the part is %q", format, part.body)
		}
		if sum := s.get(200, query+".sha256"); string(sum.body) != sumOf(whole.body)+"  m."+format+"\n" {
			t.Errorf("%s: the digest is %q", format, sum.body)
		}
		known := s.get(304, query, "If-None-Match", tag, "Want-Repr-Digest", "sha-256=1")
		for key, want := range map[string]string{
			"Content-Type": c.kind, "Content-Disposition": `attachment; filename="m.` + format + `"`, "Cache-Control": "no-cache",
			"X-Content-Type-Options": "nosniff", "X-Revision": s.repo.Git("rev-parse", "main"), "Accept-Ranges": "bytes",
		} {
			if got := again.Header.Get(key); got != want {
				t.Errorf("%s: %s is %q, want %q", format, key, got, want)
			}
		}
		if got := known.Header.Get("Repr-Digest"); got == "" || got != again.Header.Get("Repr-Digest") {
			t.Errorf("%s: 304 says %q of the digest, 200 %q", format, got, again.Header.Get("Repr-Digest"))
		}
		if a := s.do(http.MethodGet, query, "If-Match", `"other"`); a.end != respond.ErrOtherVersion {
			t.Errorf("%s: another version: %v", format, a.end)
		}
	}
	if got := s.Sent.Unmodified.Load(); got != 1 { // bundles are not counted
		t.Errorf("%d archives were there already, want 1", got)
	}
	if stats := s.Conns.Stats(); stats.Sending != 0 {
		t.Errorf("%d files are still being sent", stats.Sending)
	}
}

// TestNothingIsMadeForAHead, and yet it tells whether there is something.
func TestNothingIsMadeForAHead(t *testing.T) {
	s := newSender(t, enough)
	for _, query := range []string{"", "?path=a", "?format=zip.sha256", "?format=bundle", "?format=bundle.sha256"} {
		if a := s.do(http.MethodHead, query); a.StatusCode != 200 || a.end != nil {
			t.Errorf("%q: %s, %v", query, a.Status, a.end)
		}
	}
	if err, _ := s.do(http.MethodHead, "?path=none").end.(error); !errors.Is(err, git.ErrNoPath) {
		t.Errorf("a path that is not there: %v", err)
	}
	if archives, packs := s.Archives.Stats(), s.Packs.Stats(); archives.Misses != 0 || packs.Bytes != 0 {
		t.Errorf("%d archives, and %d bytes of bundles were made", archives.Misses, packs.Bytes)
	}
}

// is and kind tell an error from others.
func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

func kind(want Kind) func(error) bool {
	return func(err error) bool {
		known := (*Error)(nil)
		return errors.As(err, &known) && known.Kind == want
	}
}

// TestRefusals: what cannot be had, and the errors that say so.
func TestRefusals(t *testing.T) {
	s := newSender(t, enough)
	kept := s.get(200, "?path=a") // small
	large := git.BundleID(s.mirror.Snapshot().Listing)
	s.get(200, "?format=bundle")
	refused := func(query string, fits func(error) bool) {
		t.Helper()
		for _, headers := range [][]string{nil, {"If-None-Match", "*"}} { // no condition holds for what there is not
			if err, _ := s.do(http.MethodGet, query, headers...).end.(error); !fits(err) {
				t.Errorf("%s %s: %v", query, headers, err)
			}
		}
	}
	refused("?path=none", is(git.ErrNoPath))
	refused("?path=a&path=a/none", is(git.ErrNoPath))
	refused("?format=bundle&ref="+s.repo.Git("rev-parse", "main"), kind(NotARef))
	refused("?format=bundle&id="+strings.Repeat("0", 64), kind(NotKept))
	for s.Conns.AcquireSend() == nil {
	}
	for _, query := range []string{"", "?format=zip.sha256", "?format=bundle", "?format=bundle&id=" + large} {
		if a := s.do(http.MethodGet, query); a.end != conn.ErrSending {
			t.Errorf("%q with too many clients: %v", query, a.end)
		}
	}
	if a := s.get(200, "?path=a"); !bytes.Equal(a.body, kept.body) {
		t.Errorf("a small archive has become %d bytes", len(a.body))
	}
}

// TestBrokenOff: no client takes a part of an archive for the whole.
func TestBrokenOff(t *testing.T) {
	opts := enough
	opts.Limit, opts.Retry = 1<<20, 0
	s := newSender(t, opts)
	a := s.do(http.MethodGet, "")
	if a.StatusCode != 200 || a.err == nil || a.end != http.ErrAbortHandler {
		t.Errorf("%s, %d bytes, %v, %v", a.Status, len(a.body), a.err, a.end)
	}
	if text := s.log.String(); !strings.Contains(text, "archive broken off") || !strings.Contains(text, "archive_limit") {
		t.Errorf("the log has %s", text)
	}
	// Nothing is sent before all of it is there.
	for _, header := range [][]string{{"Range", "bytes=0-9"}, {"Want-Repr-Digest", "sha-256=1"}} {
		a = s.do(http.MethodGet, "", header...)
		if err, _ := a.end.(error); err == nil || !strings.Contains(err.Error(), "archive_limit") {
			t.Errorf("%s: %s, %v", header, a.Status, a.end)
		}
	}
}

// TestWaitingEnds when the client goes, and with the life of the server, which has a cause.
func TestWaitingEnds(t *testing.T) {
	opts := enough
	opts.MaxArchives = 0
	s := newSender(t, opts)
	s.Packs.Resize(0)
	queries := []string{"", "?format=tar.sha256", "?format=bundle"}
	for _, query := range queries {
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+"/team/m"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-s.begun
			leave()
		}()
		if _, err := s.server.Client().Do(r); !errors.Is(err, context.Canceled) {
			t.Errorf("%q: the client was told %v", query, err)
		}
		if end := <-s.ends; end != http.ErrAbortHandler {
			t.Errorf("%q: the client has gone: %v", query, end)
		}
	}
	s.end(mirror.ErrClosing)
	for _, query := range queries {
		if err, _ := s.do(http.MethodGet, query).end.(error); !errors.Is(err, mirror.ErrClosing) {
			t.Errorf("%q: the server ends: %v", query, err)
		}
	}
	if stats := s.Conns.Stats(); stats.Sending != 0 {
		t.Errorf("%d clients are still counted", stats.Sending)
	}
}

// bare is an answer of which only the headers are looked at.
type bare struct {
	header http.Header
	status int
}

func (b *bare) Header() http.Header    { return b.header }
func (b *bare) WriteHeader(status int) { b.status = status }
func (b *bare) Write(p []byte) (int, error) {
	return 0, fmt.Errorf("%d bytes for an answer without a body", len(p))
}

// TestUnmodifiedIsCheap: many clients ask again and again for what they have.
func TestUnmodifiedIsCheap(t *testing.T) {
	s := newSender(t, enough)
	r := httptest.NewRequest(http.MethodGet, "/team/m", nil)
	r.Header.Set("If-None-Match", s.get(200, "").Header.Get("Etag"))
	req, err := s.request(r)
	if err != nil {
		t.Fatal(err)
	}
	w := &bare{header: make(http.Header)}
	allocations := testing.AllocsPerRun(1000, func() {
		clear(w.header)
		err = errors.Join(err, s.Send(w, r, req))
	})
	if err != nil || w.status != http.StatusNotModified || s.Sent.Unmodified.Load() < 1000 {
		t.Errorf("%d, %v; %d are counted", w.status, err, s.Sent.Unmodified.Load())
	}
	if allocations > 2 { // the ETag, and the values of two headers
		t.Errorf("%.1f allocations for a 304", allocations)
	}
}
