package status

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
)

// newReporter returns the reporter of a server without mirrors.
func newReporter(t *testing.T) *Reporter {
	t.Helper()
	dir, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cache, err := spool.Open(dir.Own("cache"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancelCause(context.Background())
	log := slog.New(slog.DiscardHandler)
	archives := archive.NewCache(cache, dir.Neutral, &archive.Options{})
	r := &Reporter{
		Dir: dir, Epoch: "e", Life: life, Release: "v1",
		Store:    mirror.NewStore(life, mirror.Parts{Dir: dir, Log: log, MaxLists: 1}, &mirror.Options{Git: git.New(git.Options{})}),
		Archives: archives, Packs: pack.NewMaker(cache, archives, log),
		Client: cluster.NewClient(dir.ID, "e", log, &cluster.Options{}),
	}
	t.Cleanup(func() {
		end(mirror.ErrClosing)
		err := cache.Close()
		r.Store.Wait()
		r.Client.Close()
		if err = errors.Join(err, dir.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// TestAnswer: as long as nothing changes an answer has the same ETag, in each form another one, and is
// made once; it is not made for who has it.
func TestAnswer(t *testing.T) {
	r := newReporter(t)
	opts := &Options{Role: "master", Master: true}
	trace, err := protocol.ReadTrace(nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(query string, needed bool) Answer {
		t.Helper()
		q, err := ParseQuery(query, false, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.Answer(t.Context(), opts, q, Asker{Trace: trace}, func(string) bool { return needed })
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	tags := make(map[string]string)
	for format, words := range map[string]string{"hierarchical": "master", "json": `"role":"master"`, "toml": `role = "master"`} {
		query := "upstream=0&format=" + format
		first, again, known := ask(query, true), ask(query, true), ask(query, false)
		if !strings.Contains(string(first.Body), words) || first.Type != contentTypes[format] {
			t.Errorf("%s: %s: %s", format, first.Type, first.Body)
		}
		if again.ETag != first.ETag || &again.Body[0] != &first.Body[0] {
			t.Errorf("%s: it is made again", format)
		}
		if known.ETag != first.ETag || known.Body != nil {
			t.Errorf("%s: it is made for who has it", format)
		}
		if other := tags[first.ETag]; other != "" {
			t.Errorf("%s has the ETag of %s", format, other)
		}
		tags[first.ETag] = format
	}
	trace.Via = []string{"another"}
	if a := ask("upstream=0&format=json", false); tags[a.ETag] != "" {
		t.Error("a server that only compares mirrors is told of the same changes as a client")
	}
	q, err := ParseQuery("name=none", false, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Answer(t.Context(), opts, q, Asker{Trace: trace}, nil); !errors.Is(err, mirror.ErrUnknown) {
		t.Errorf("of a mirror that is not there: %v", err)
	}
}

// TestTOMLIsUTF8: whatever the name of a branch is.
func TestTOMLIsUTF8(t *testing.T) {
	text, err := inTOML(&protocol.Status{Mirrors: []protocol.Mirror{{Name: "a", Branch: "refs/heads/\xff\xfeé"}}})
	if err != nil || !utf8.Valid(text) || !bytes.Contains(text, []byte("��é")) {
		t.Errorf("%v: %s", err, text)
	}
}
