package mirror

import (
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// TestATombstoneBesideAMirror says nothing: a crash has left it there.
func TestATombstoneBesideAMirror(t *testing.T) {
	s, name, at := newTestStore(t), named("m"), time.Unix(1000, 0).UTC()
	if _, deleted := s.DeletedAt(name); deleted {
		t.Error("it is deleted without a tombstone")
	}
	if err := s.dir.WriteTombstone(name, storage.Tombstone{Name: "m", At: at}); err != nil {
		t.Fatal(err)
	}
	if got, deleted := s.DeletedAt(name); !deleted || !got.Equal(at) {
		t.Errorf("with a tombstone: %s, %v", got, deleted)
	}
	initMirror(t, s, name)
	if got, deleted := s.DeletedAt(name); deleted {
		t.Errorf("it is there, and was deleted on %s", got)
	}
}

// TestTheLastWriterWins, whether he wants a mirror or none, and whoever comes next is later.
func TestTheLastWriterWins(t *testing.T) {
	s, name := newTestStore(t), named("m")
	if got := s.intent(name); got != (intent{}) {
		t.Errorf("nobody has asked for anything: %+v", got)
	}
	deleted, now := time.Unix(2000, 0).UTC(), time.Unix(1000, 0).UTC()
	if err := s.dir.WriteTombstone(name, storage.Tombstone{Name: "m", At: deleted}); err != nil {
		t.Fatal(err)
	}
	if got := s.intent(name); !got.Delete || !got.At.Equal(deleted) {
		t.Errorf("it was deleted: %+v", got)
	}
	wanted := s.NextIntent(name, now) // though the clock is behind
	if !wanted.After(deleted) {
		t.Errorf("a POST is of %s, before the DELETE that it goes against", wanted)
	}
	if _, err := s.reserve(Request{Name: name, Wanted: now}); err == nil {
		t.Error("an old request brings back what was deleted since")
	}
	release, err := s.reserve(Request{Name: name, Wanted: wanted})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if got := s.intent(name); got.Delete || !got.At.Equal(wanted) {
		t.Errorf("somebody has asked for it since: %+v", got)
	}
	if err := s.Delete(t.Context(), name, deleted); err == nil {
		t.Error("an old request removes what somebody has asked for since")
	}
}
