package uploadpack

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
)

// served is a mirror with one commit, or without any, that a service shows at a URL.
type served struct {
	t       *testing.T
	service *Service
	mirror  *mirror.Mirror
	url     string
	commit  string
	sent    atomic.Uint64
	failed  chan error // of requests
}

func serve(t *testing.T, empty bool) *served {
	t.Helper()
	s := &served{t: t, failed: make(chan error, 10)}
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	name, err := storage.ParseName("m")
	if err != nil {
		t.Fatal(err)
	}
	at := dir.MirrorDir(name)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	s.git("init", "-q", "--bare", "-b", "main", at)
	if !empty {
		tree := s.git("--git-dir="+at, "hash-object", "-w", "-t", "tree", "/dev/null")
		s.commit = s.git("--git-dir="+at, "-c", "user.name=n", "-c", "user.email=e", "commit-tree", "-m", "m", tree)
		s.git("--git-dir="+at, "update-ref", "refs/heads/main", s.commit)
	}
	quiet := slog.New(slog.DiscardHandler)
	store := mirror.NewStore(t.Context(), mirror.Parts{Dir: dir, Log: quiet, MaxLists: 1}, &mirror.Options{Git: git.New(git.Options{Leash: dir.Leash})})
	cache, err := spool.Open(dir.Own("cache"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m, err := store.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	packs := pack.NewMaker(cache, archive.NewCache(cache, dir.Neutral, &archive.Options{}), quiet)
	packs.Resize(1)
	s.mirror = m
	s.service = New(Parts{Incoming: dir.Own("incoming"), Packs: packs, Conns: conn.NewLimiter(100), Sent: &s.sent, Log: quiet, Life: t.Context()})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := s.service.Refs
		if strings.HasSuffix(r.URL.Path, smarthttp.FetchPath) {
			answer = s.service.Fetch
		}
		if err := answer(w, r, m, false); err != nil {
			s.failed <- err
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	t.Cleanup(func() {
		server.Close()
		cache.Close()
		store.Wait()
		dir.Close()
	})
	s.url = server.URL + "/m"
	return s
}

// git runs git as a user does, and returns what it prints.
func (s *served) git(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(string(exit.Stderr))
		}
		s.t.Fatalf("git %s: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// post sends a request of a version of the protocol, and returns the status and what comes.
func (s *served) post(version, body string) (status int, answer string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+smarthttp.FetchPath, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	r.Header.Set("Git-Protocol", "version="+version)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return got.StatusCode, string(text)
}

// TestGitClones: git lists the refs and clones, in all versions of the protocol.
func TestGitClones(t *testing.T) {
	s, empty := serve(t, false), serve(t, true)
	for _, version := range []string{"0", "1", "2"} {
		protocol := "protocol.version=" + version
		if got := s.git("-c", protocol, "ls-remote", "--symref", s.url); got != "ref: refs/heads/main\tHEAD\n"+s.commit+"\tHEAD\n"+s.commit+"\trefs/heads/main" {
			t.Errorf("version %s lists %q", version, got)
		}
		to := filepath.Join(t.TempDir(), "c")
		before := s.sent.Load()
		s.git("-c", protocol, "clone", "-q", "--bare", s.url, to)
		if got := s.git("--git-dir="+to, "rev-parse", "HEAD"); got != s.commit {
			t.Errorf("version %s clones %s", version, got)
		}
		if s.sent.Load() == before {
			t.Errorf("version %s: nothing was counted", version)
		}
		if got := s.git("-c", protocol, "ls-remote", empty.url); got != "" {
			t.Errorf("version %s lists %q of an empty mirror", version, got)
		}
	}
}

// TestWhatRequestsAreRefusedFor: what makes no sense gets a status, and what the mirror lacks git's own words.
func TestWhatRequestsAreRefusedFor(t *testing.T) {
	s := serve(t, false)
	absent := strings.Repeat("12", 20)
	for _, body := range []string{"zzzz", "0032want " + s.commit + "\n"} {
		var malformed *smarthttp.Error
		if status, _ := s.post("0", body); status != http.StatusTeapot {
			t.Errorf("%q: %d", body, status)
		} else if err := <-s.failed; !errors.As(err, &malformed) || malformed.Kind != smarthttp.Malformed {
			t.Errorf("%q: %v", body, err)
		}
	}
	for body, want := range map[string]string{
		"0032want " + absent + "\n00000009done\n":                                    "ERR upload-pack: not our ref " + absent,
		"0014command=ls-refs\n0044server-option=contains=" + absent + "\n00010000":   "ERR the mirror does not hold " + absent,
		"0014command=ls-refs\n0020server-option=contains=main\n00010000":             `ERR contains="main" is not a full commit id`,
		"0014command=ls-refs\n0044server-option=contains=" + s.commit + "\n00010000": s.commit + " refs/heads/main",
		"0017command=bundle-uri\n0000":                                               "0000",
	} {
		version := "2"
		if strings.HasPrefix(body, "0032") {
			version = "0"
		}
		if status, got := s.post(version, body); status != http.StatusOK || !strings.Contains(got, want) {
			t.Errorf("%q: %d %q", body, status, got)
		}
	}
}

// TestWhenItIsTooLateForAStatus: a client that was told of the progress hears in git's own words that
// there is no answer.
func TestWhenItIsTooLateForAStatus(t *testing.T) {
	s := serve(t, false)
	for s.service.Conns.AcquireSend() == nil {
	}
	for _, begun := range []bool{false, true} {
		w := httptest.NewRecorder()
		e := s.service.exchange(patient{w}, httptest.NewRequest(http.MethodPost, smarthttp.FetchPath, nil), false)
		if begun {
			if _, err := e.w.Write(nil); err != nil {
				t.Fatal(err)
			}
		}
		err := e.answerLate(s.mirror, smarthttp.NewRequest([]byte("0011command=fetch0000")))
		said := strings.Contains(w.Body.String(), "ERR "+conn.ErrSending.Error())
		if said != begun || (err == nil) != begun {
			t.Errorf("begun %v: %v, %q", begun, err, w.Body.String())
		}
	}
}

// TestEndingOf: how a client learns that there is no answer, or no more of it.
func TestEndingOf(t *testing.T) {
	broken := errors.New("broken")
	theirs := &git.Error{Command: "upload-pack", Stderr: "fatal: git upload-pack: not our ref 1", ExitCode: 128}
	for _, c := range []struct {
		begun, refusal, writable bool
		err                      error
		want                     ending
	}{
		{false, false, true, broken, byStatus},
		{false, false, true, theirs, byStatus},
		{false, false, true, limiter.ErrBusy, byStatus},
		{true, true, true, theirs, asSaid},
		{true, true, true, broken, asSaid},
		{true, false, true, theirs, bySaying},
		{true, false, true, limiter.ErrBusy, bySaying},
		{true, false, true, broken, byBreaking},
		{true, false, false, theirs, byBreaking},
		{true, false, false, limiter.ErrBusy, byBreaking},
	} {
		if got := endingOf(c.begun, c.refusal, c.writable, c.err); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
