package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
)

func TestEscapeName(t *testing.T) {
	long := strings.Repeat("a/", 400)
	for raw, want := range map[string]string{
		"m":          "m",
		"dev/m":      "dev%2Fm",
		"a+b/c~d/@e": "a+b%2Fc~d%2F@e",
	} {
		name, err := ParseName(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := escapeName(name); got != want {
			t.Errorf("%q becomes %q", raw, got)
		}
	}
	a, err := ParseName(long + "x")
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseName(long + "y")
	if err != nil {
		t.Fatal(err)
	}
	if x, y := escapeName(a), escapeName(b); x == y || len(x) > maxComponent || len(x) < maxComponent-10 {
		t.Errorf("two long names become %q and %q", x, y)
	}
}

func TestDiscarded(t *testing.T) {
	for name, want := range map[string]int64{
		"100-m": 100, "100.2-a%2Fb-c": 100, "3141592653": 0, "x-m": 0, "100-": 0, "": 0, "-m": 0,
	} {
		at, ok := discarded(name)
		if ok != (want != 0) || ok && at.Unix() != want {
			t.Errorf("discarded(%q) = %v, %v", name, at, ok)
		}
	}
}

func TestLookAgain(t *testing.T) {
	for keep, want := range map[time.Duration]time.Duration{
		0: time.Hour / 16, time.Millisecond: time.Second, 32 * time.Second: 2 * time.Second, 720 * time.Hour: time.Hour,
	} {
		if got := lookAgain(keep); got != want {
			t.Errorf("lookAgain(%s) = %s", keep, got)
		}
	}
}

// TestATombstoneBesideAMirror says nothing: a crash has left it there.
func TestATombstoneBesideAMirror(t *testing.T) {
	storage, err := OpenStorage(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer storage.Close()
	ms := NewMirrors(t.Context(), storage, nil, slog.New(slog.DiscardHandler))
	name, at := Name{"m"}, time.Unix(1000, 0).UTC()
	if _, deleted := ms.deletedAt(name); deleted {
		t.Error("it is deleted without a tombstone")
	}
	if err := storage.Entomb(name, tombstone{Name: "m", At: at}); err != nil {
		t.Fatal(err)
	}
	if got, deleted := ms.deletedAt(name); !deleted || !got.Equal(at) {
		t.Errorf("with a tombstone: %s, %v", got, deleted)
	}
	if err := git.New(git.Options{}).Repo(storage.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	if got, deleted := ms.deletedAt(name); deleted {
		t.Errorf("it is there, and was deleted on %s", got)
	}
}
