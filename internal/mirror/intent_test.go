package mirror

import (
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// TestTombstoneBesideMirror: a tombstone beside a mirror, as a crash can leave it, means nothing.
func TestTombstoneBesideMirror(t *testing.T) {
	s, name, at := newTestStore(t), named("m"), time.Unix(1000, 0).UTC()
	if _, deleted := s.DeletedAt(name); deleted {
		t.Error("deleted without a tombstone")
	}
	if err := s.dir.WriteTombstone(name, storage.Tombstone{Name: "m", At: at}); err != nil {
		t.Fatal(err)
	}
	if got, deleted := s.DeletedAt(name); !deleted || !got.Equal(at) {
		t.Errorf("with a tombstone: %s, %v", got, deleted)
	}
	initMirror(t, s, name)
	if got, deleted := s.DeletedAt(name); deleted {
		t.Errorf("the mirror exists, but counts as deleted on %s", got)
	}
}

// TestLastWriterWins: the last of all POSTs and DELETEs holds, and a new one is always the last.
func TestLastWriterWins(t *testing.T) {
	s, name := newTestStore(t), named("m")
	if got := s.intent(name); got != (intent{}) {
		t.Errorf("an intent without a request: %+v", got)
	}
	deleted, now := time.Unix(2000, 0).UTC(), time.Unix(1000, 0).UTC()
	if err := s.dir.WriteTombstone(name, storage.Tombstone{Name: "m", At: deleted}); err != nil {
		t.Fatal(err)
	}
	if got := s.intent(name); !got.Delete || !got.At.Equal(deleted) {
		t.Errorf("the intent of a deleted mirror: %+v", got)
	}
	wanted := s.NextIntent(name, now) // although the clock was set back
	if !wanted.After(deleted) {
		t.Errorf("a POST after the DELETE has the earlier time %s", wanted)
	}
	if _, err := s.reserve(&Request{Name: name, Wanted: now}); err == nil {
		t.Error("an old POST brings back a mirror that was deleted since")
	}
	release, err := s.reserve(&Request{Name: name, Wanted: wanted})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if got := s.intent(name); got.Delete || !got.At.Equal(wanted) {
		t.Errorf("the intent after a later POST: %+v", got)
	}
	if _, err := s.Delete(t.Context(), name, deleted); err == nil {
		t.Error("an old DELETE removes a mirror that somebody has asked for since")
	}
}
