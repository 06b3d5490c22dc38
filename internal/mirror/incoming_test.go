package mirror

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
)

// receiving returns a pack that comes, and the cache that it is in.
func receiving(t *testing.T) (*incoming, *spool.Cache) {
	t.Helper()
	cache, err := spool.Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	name, err := storage.ParseName("m")
	if err != nil {
		t.Fatal(err)
	}
	i := (&Store{spool: cache}).receive(name)
	if i == nil {
		t.Fatal("there is no room")
	}
	return i, cache
}

// all reads a pack to its end.
func all(t *testing.T, r *spool.Reader) (string, error) {
	t.Helper()
	if r == nil {
		t.Fatal("there is nothing to follow")
	}
	defer r.Close()
	var got bytes.Buffer
	for {
		if _, err := r.CopyNext(t.Context(), &got, 1<<20); err != nil {
			return got.String(), err
		}
	}
}

// TestIncoming: who follows a pack has all of it, whenever he comes, and hears why it has ended.
func TestIncoming(t *testing.T) {
	i, cache := receiving(t)
	early := i.follow()
	w := i.next()
	for range 3 {
		if _, err := w.Write([]byte(strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
	}
	late := i.follow()
	i.end(ErrStands)
	i.end(errOtherPack) // it has ended
	for _, r := range []*spool.Reader{early, late} {
		if got, err := all(t, r); len(got) != 3000 || !errors.Is(err, ErrStands) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if i.follow() != nil {
		t.Error("it can be followed when it has ended")
	}
	if err := cache.Close(); err != nil || cache.Stats().Files != 0 {
		t.Errorf("%+v is left (%v)", cache.Stats(), err)
	}
}

// TestIncomingOfSeveralTransfers: what is begun anew cannot be followed, unless nothing had come.
func TestIncomingOfSeveralTransfers(t *testing.T) {
	i, _ := receiving(t)
	r := i.follow()
	i.next()
	w := i.next() // as after a redirect
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if _, err := i.next().Write([]byte("PACK")); err == nil {
		t.Error("a second pack is taken")
	}
	if got, err := all(t, r); got != "half" || !errors.Is(err, errOtherPack) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestIncomingWithoutReaders: it is taken in all the same, for those who come later.
func TestIncomingWithoutReaders(t *testing.T) {
	i, _ := receiving(t)
	r := i.follow()
	if _, err := i.next().Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := i.Write([]byte("of it")); err != nil {
		t.Fatal(err)
	}
	r = i.follow()
	i.end(ErrStands)
	if got, err := all(t, r); got != "halfof it" || !errors.Is(err, ErrStands) {
		t.Errorf("%q, %v", got, err)
	}
	var none *incoming
	none.end(nil)
	if none.follow() != nil {
		t.Error("what is not taken in can be followed")
	}
}
