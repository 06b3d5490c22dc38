package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
)

// maker returns a maker with one place, and an empty mirror.
func maker(t *testing.T) (*Maker, *mirror.Mirror, *storage.Dir) {
	t.Helper()
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	name, err := storage.ParseName("m")
	if err != nil {
		t.Fatal(err)
	}
	opts := &mirror.Options{Git: git.New(git.Options{Leash: dir.Leash})}
	if err := os.MkdirAll(filepath.Dir(dir.MirrorDir(name)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := opts.Git.Repo(dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	store := mirror.NewStore(t.Context(), mirror.Parts{Dir: dir, Log: slog.New(slog.DiscardHandler), MaxLists: 1}, opts)
	cache, err := spool.Open(dir.Own("cache"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cache.Close()
		store.Wait()
		dir.Close()
	})
	m, err := store.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	k := NewMaker(cache, archive.NewCache(cache, dir.Neutral, &archive.Options{}), slog.New(slog.DiscardHandler))
	k.Resize(1)
	return k, m, dir
}

// TestPeersHaveTheirOwnPlaces: clients and peers do not take places from each other.
func TestPeersHaveTheirOwnPlaces(t *testing.T) {
	k, m, _ := maker(t)
	for _, peer := range []bool{false, true} {
		release, err := k.Acquire(t.Context(), m, peer)
		if err != nil {
			t.Fatalf("peer %v: %v", peer, err)
		}
		soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := k.Acquire(soon, m, peer); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("peer %v: a second place: %v", peer, err)
		}
		defer release()
	}
}

// TestAnswers: a client gets git's answer, or its error, and each request is closed.
func TestAnswers(t *testing.T) {
	k, m, dir := maker(t)
	reader := smarthttp.NewReader(dir.Own("incoming"), &conn.Budget{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := reader.Read(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		growing, err := k.Get(m, 0, request, false)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer growing.Close()
		for err == nil {
			_, err = growing.CopyNext(r.Context(), w, 1<<20)
		}
		fmt.Fprintf(w, "; %v, %v", err == io.EOF, git.IsRequestError(err))
	}))
	defer server.Close()
	post := func(body string) string {
		t.Helper()
		answer, err := http.Post(server.URL, "application/x-git-upload-pack-request", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := post("0000"); got != "; true, false" {
		t.Errorf("a request for nothing: %q", got)
	}
	if got := post("0032want " + strings.Repeat("12", 20) + "\n00000009done\n"); !strings.Contains(got, "not our ref") || !strings.HasSuffix(got, "; false, true") {
		t.Errorf("a request for what is not there: %q", got)
	}
	large := string(bytes.Repeat([]byte("0000"), 20_000)) // goes to a file, of which few may be open
	for range 20 {
		post(large)
	}
	k.clients.places.Resize(0)
	await := func(waiting int) {
		for k.clients.places.Stats().Waiting != waiting {
			time.Sleep(time.Millisecond)
		}
	}
	for range 20 { // the request of a client that leaves the queue is closed, too
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			await(1)
			leave()
		}()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(large))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		if answer, err := http.DefaultClient.Do(r); err == nil {
			answer.Body.Close()
		}
		await(0)
	}
	k.Resize(1)
	if got := post(large); got != "; true, false" {
		t.Errorf("afterwards: %q", got)
	}
}
