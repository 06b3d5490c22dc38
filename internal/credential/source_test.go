package credential

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// helper is a command in this process. It gives passwords p1, p2 and so on.
type helper struct {
	mu     sync.Mutex
	called []string // operations, and the password that was erased
	given  int
	answer func(n int) string // instead of p<n>
	store  bool               // knows the whole server alone, as "git credential-store" does by a line without a path
	hangs  bool
	runs   int // now
	most   int // at once
}

func (h *helper) run(ctx context.Context, command, operation string, input []byte) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, password, _ := strings.Cut(string(input), "password=")
	if h.store && !strings.Contains(string(input), "\npath=") {
		operation += " of the server"
	}
	h.called = append(h.called, strings.TrimSpace(operation+" "+password))
	if h.store && operation == "get" || !strings.HasPrefix(operation, "get") {
		return nil, nil
	}
	h.runs++
	h.most = max(h.most, h.runs)
	h.mu.Unlock()
	if h.hangs && command == "x" {
		<-ctx.Done()
	} else {
		time.Sleep(time.Second)
	}
	h.mu.Lock()
	h.runs--
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	h.given++
	if h.answer != nil {
		return []byte(h.answer(h.given)), nil
	}
	return fmt.Appendf(nil, "username=u\npassword=p%d\n", h.given), nil
}

// withSource calls f with a source of which https://h has the helper as its command.
func withSource(t *testing.T, h *helper, f func(*testing.T, *Source)) {
	synctest.Test(t, func(t *testing.T) {
		life, end := context.WithCancel(context.Background())
		s := NewSource(life, h.run)
		s.Configure(map[string]string{"h": "x"})
		f(t, s)
		end()
		s.Wait()
	})
}

func (s *Source) asker(path string) *Asker {
	return s.Ask(&url.URL{Scheme: "https", Host: "h", Path: "/" + path}, "")
}

// mustGive has an asker ask, and checks the password or the error.
func (a *Asker) mustGive(t *testing.T, want string) {
	t.Helper()
	login, err := a.Next(t.Context())
	got := login.password
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func (h *helper) wasCalled(t *testing.T, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.called, want) {
		t.Errorf("the command was called for %q, want %q", h.called, want)
	}
}

func TestRefusals(t *testing.T) {
	h := &helper{}
	withSource(t, h, func(t *testing.T, s *Source) {
		a := s.asker("r")
		if !a.Current().IsZero() {
			t.Error("something is known before the command was asked")
		}
		a.mustGive(t, "p1")
		if again := s.asker("r"); again.Current().password != "p1" {
			t.Error("it is not kept")
		}
		a.mustGive(t, "p2")
		a.mustGive(t, "the origin refuses what the credential command of h gives, twice")
		h.wasCalled(t, "get", "erase p1", "get", "erase p2")
		if again := s.asker("r"); !again.Current().IsZero() {
			t.Error("what was refused is kept")
		}
	})
}

func TestTheSameAgain(t *testing.T) {
	h := &helper{answer: func(int) string { return "username=u\npassword=p" }}
	withSource(t, h, func(t *testing.T, s *Source) {
		a := s.asker("r")
		a.mustGive(t, "p")
		a.mustGive(t, "the origin refuses what the credential command of h gives, and it gives the same again")
		h.wasCalled(t, "get", "erase p", "get")
	})
}

// TestOfServer: a command that compares the path is asked without one as well, and told so to forget what it gave.
func TestOfServer(t *testing.T) {
	h := &helper{store: true}
	withSource(t, h, func(t *testing.T, s *Source) {
		a := s.asker("r")
		a.mustGive(t, "p1")
		if !s.asker("other").Current().IsZero() {
			t.Error("it is sent for a repository that the command was not asked about")
		}
		a.mustGive(t, "p2")
		h.wasCalled(t, "get", "get of the server", "erase of the server p1", "get", "get of the server")
	})
	quits := &helper{answer: func(int) string { return "quit=1" }}
	withSource(t, quits, func(t *testing.T, s *Source) {
		s.asker("r").mustGive(t, "the credential command of h failed: it gives no credentials for this repository")
		quits.wasCalled(t, "get")
	})
}

// TestExpiry: what is kept is used until shortly before it expires, and the clock may jump meanwhile.
func TestExpiry(t *testing.T) {
	h := &helper{answer: func(n int) string {
		return fmt.Sprintf("username=u\npassword=p%d\npassword_expiry_utc=%d", n, time.Now().Add(time.Hour).Unix())
	}}
	withSource(t, h, func(t *testing.T, s *Source) {
		s.asker("r").mustGive(t, "p1")
		time.Sleep(58 * time.Minute)
		s.asker("r").mustGive(t, "p1")
		time.Sleep(time.Minute + time.Second)
		if !s.asker("r").Current().IsZero() {
			t.Error("what is about to expire is used")
		}
		s.asker("r").mustGive(t, "p2")
		h.wasCalled(t, "get", "get")
	})
	old := &helper{answer: func(int) string { return "username=u\npassword=p\npassword_expiry_utc=1" }}
	withSource(t, old, func(t *testing.T, s *Source) {
		s.asker("r").mustGive(t, "the credential command of h failed: its answer has expired at 1970-01-01T00:00:01Z")
	})
}

// TestShared: those who ask at once share one run, and those whom its answer is for, too.
func TestShared(t *testing.T) {
	h := &helper{answer: func(int) string { return "path=acme/\nusername=u\npassword=p" }}
	withSource(t, h, func(t *testing.T, s *Source) {
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() { s.asker(fmt.Sprintf("acme/r%d", i%10)).mustGive(t, "p") })
			synctest.Wait()
		}
		all.Wait()
	})
	if n := len(h.called); n > maxRunning || h.most > maxRunning {
		t.Errorf("the command ran %d times, %d at once", n, h.most)
	}
}

// TestRefusedForMany: one run renews what many were refused with.
func TestRefusedForMany(t *testing.T) {
	h := &helper{}
	withSource(t, h, func(t *testing.T, s *Source) {
		s.asker("r").mustGive(t, "p1")
		var askers []*Asker
		for range 100 {
			a := s.asker("r")
			a.Current()
			askers = append(askers, a)
		}
		var all sync.WaitGroup
		for _, a := range askers {
			all.Go(func() { a.mustGive(t, "p2") })
		}
		all.Wait()
		h.wasCalled(t, "get", "erase p1", "get")
	})
}

// TestHangs: a command is given up, and so is who waits for it and cannot any longer. Those who have
// gone leave no runs behind.
func TestHangs(t *testing.T) {
	h := &helper{hangs: true}
	withSource(t, h, func(t *testing.T, s *Source) {
		s.asker("r").mustGive(t, "the credential command of h failed: no answer within 10s")
		reason := errors.New("the origin is slow")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, reason)
		defer cancel()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				_, err := s.asker(fmt.Sprint(i)).Next(ctx)
				if err == nil || err.Error() != "the credential command of h failed: it has not answered yet" || !errors.Is(err, reason) {
					t.Errorf("who waited is told %v", err)
				}
			})
		}
		all.Wait()
		time.Sleep(time.Hour)
		h.mu.Lock()
		defer h.mu.Unlock()
		if n := len(h.called); n > 1+maxRunning {
			t.Errorf("the command ran %d times", n)
		}
		if stats := s.Stats(); stats.Given != 0 || stats.Failed == 0 {
			t.Errorf("counted %+v", stats)
		}
	})
}

// TestHangsAlone: while one command hangs, and many wait for it, that of another server is asked at once.
func TestHangsAlone(t *testing.T) {
	h := &helper{hangs: true}
	withSource(t, h, func(t *testing.T, s *Source) {
		s.Configure(map[string]string{"h": "x", "other": "y"})
		var all sync.WaitGroup
		for i := range 10 * maxRunning {
			all.Go(func() { _, _ = s.asker(fmt.Sprint(i)).Next(t.Context()) })
		}
		synctest.Wait()
		began := time.Now()
		s.Ask(&url.URL{Scheme: "https", Host: "other", Path: "/r"}, "").mustGive(t, "p1")
		if took := time.Since(began); took > time.Second {
			t.Errorf("the other command gave something after %s", took)
		}
		all.Wait()
	})
}

// TestReload: another command is asked, and the answer of the former one forgotten, also if it
// comes late.
func TestReload(t *testing.T) {
	h := &helper{}
	withSource(t, h, func(t *testing.T, s *Source) {
		s.asker("r").mustGive(t, "p1")
		s.Configure(map[string]string{"https://h:443": "x", "other": "y"})
		s.asker("r").mustGive(t, "p1")
		s.Configure(map[string]string{"h": "changed"})
		late := make(chan bool)
		go func() {
			s.asker("r").mustGive(t, "p2")
			close(late)
		}()
		synctest.Wait()
		s.Configure(map[string]string{"h": "changed again"})
		<-late
		s.asker("r").mustGive(t, "p3")
		s.Configure(nil)
		if s.asker("r") != nil {
			t.Error("a command that is gone is asked")
		}
	})
}

// TestBounded: not more is kept than maxKept.
func TestBounded(t *testing.T) {
	withSource(t, &helper{}, func(t *testing.T, s *Source) {
		c := s.commands["https://h:443"]
		for i := range maxKept + 100 {
			s.keep(c, question{"https://h:443", fmt.Sprint(i), ""}, answer{Login{user: "u", password: "p"}, time.Time{}, fmt.Sprint(i)}, time.Now().Add(time.Hour))
		}
		if len(s.kept) != maxKept {
			t.Errorf("%d are kept", len(s.kept))
		}
	})
}

// TestOthers: only the server that a command is for is sent what it gives.
func TestOthers(t *testing.T) {
	withSource(t, &helper{}, func(t *testing.T, s *Source) {
		for _, other := range []string{"http://h/r", "https://h:8443/r", "https://h.example/r", "https://other/r", "https://h/a%0Ab"} {
			u, err := url.Parse(other)
			if err != nil {
				t.Fatal(err)
			}
			if s.Ask(u, "") != nil {
				t.Errorf("the command is asked for %s", other)
			}
		}
		if s.Ask(&url.URL{Scheme: "https", Host: "H:443", Path: "/r"}, "") == nil {
			t.Error("the server is not known again")
		}
	})
	if (*Source)(nil).Ask(&url.URL{Scheme: "https", Host: "h"}, "") != nil {
		t.Error("no source asks")
	}
}
