package mirror

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// onDemandMirror makes an empty mirror that a read has made.
func onDemandMirror(t *testing.T, s *Store, name storage.Name) *Mirror {
	t.Helper()
	initMirror(t, s, name)
	state := stateFile{Outcome: Success, Pulled: time.Unix(1_800_000_000, 0), OnDemand: true}
	if err := state.write(s.dir.MirrorDir(name)); err != nil {
		t.Fatal(err)
	}
	m, err := s.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRetire: a mirror that a read has made goes to the trash, unless somebody uses it.
func TestRetire(t *testing.T) {
	s, name := newTestStore(t), named("m")
	m := onDemandMirror(t, s, name)
	for what, use := range map[string]func() (end func()){
		"in use":    func() func() { m.BeginUse(); return m.EndUse },
		"just read": func() func() { m.MarkRead(time.Now()); return func() { m.reads.latest.Store(0) } },
		"being asked for": func() func() {
			release, err := s.reserve(&Request{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			return release
		},
		"being pulled": func() func() { _, end := s.startProgress(name); return end },
		"locked": func() func() {
			lock, err := s.locks.Lock(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			return lock.Unlock
		},
	} {
		end := use()
		if _, err := s.Retire(m, time.Minute); !errors.Is(err, ErrInUse) {
			t.Errorf("%s: %v", what, err)
		}
		end()
		if now, err := s.Get(name); err != nil || now != m || !m.MarkRead(time.Now().Add(-time.Hour)) {
			t.Fatalf("%s: it is gone all the same: %v", what, err)
		}
	}
	initMirror(t, s, named("posted"))
	posted, err := s.Get(named("posted"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retire(posted, 0); !errors.Is(err, ErrInUse) {
		t.Errorf("one that no read has made: %v", err)
	}
	entry, err := s.Retire(m, 0)
	if err != nil {
		t.Fatal(err)
	}
	if m.MarkRead(time.Now()) {
		t.Error("a reader that has come at this moment is not told")
	}
	if _, err := s.Get(name); !errors.Is(err, ErrUnknown) {
		t.Errorf("it is still there: %v", err)
	}
	if _, deleted := s.DeletedAt(name); deleted {
		t.Error("it has a tombstone")
	}
	all, err := s.dir.Trash()
	if err != nil || len(all) != 1 || all[0].Entry != entry || all[0].Name != name || !s.WasOnDemand(all[0]) {
		t.Fatalf("in the trash is %+v, %v", all, err)
	}
	if size, err := storage.Usage(all[0].Path); err != nil || size == 0 {
		t.Errorf("it takes %d bytes there, %v", size, err)
	}
	for range 2 {
		if err := s.dir.RemoveTrashed(all[0]); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(all[0].Path); err == nil {
		t.Error("it is still in the trash")
	}
	if _, err := s.Retire(m, 0); err == nil {
		t.Error("it is retired twice")
	}
	if again := onDemandMirror(t, s, name); again == m || !again.MarkRead(time.Now()) {
		t.Error("a new one of this name is retired as well")
	}
}

// TestIsBroken: a mirror that a read has made is held to its quota although it cannot be read, but it is broken only
// if that is not the machine's fault.
func TestIsBroken(t *testing.T) {
	s, name := newTestStore(t), named("m")
	initMirror(t, s, name)
	if err := (&stateFile{Outcome: Success, OnDemand: true}).write(s.dir.MirrorDir(name)); err != nil {
		t.Fatal(err)
	}
	unreadable := func() *Mirror {
		if _, err := s.Get(name); err == nil {
			t.Fatal("it can be read")
		}
		m, err := s.find(name)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir())
	if m := unreadable(); !m.IsOnDemand() || m.IsBroken() {
		t.Errorf("without git: on demand %v, broken %v", m.IsOnDemand(), m.IsBroken())
	}
	t.Setenv("PATH", path)
	fault := filepath.Join(s.dir.MirrorDir(name), "packed-refs")
	if err := errors.Join(os.RemoveAll(fault), os.Mkdir(fault, 0o700)); err != nil {
		t.Fatal(err)
	}
	if m := unreadable(); !m.IsOnDemand() || !m.IsBroken() {
		t.Errorf("damaged: on demand %v, broken %v", m.IsOnDemand(), m.IsBroken())
	}
	if err := os.Remove(fault); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Get(name); err != nil || m.IsBroken() {
		t.Errorf("mended: %v", err)
	}
}
