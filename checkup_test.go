package main

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
)

func TestNextCheck(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	const never = -1
	for _, c := range []struct {
		what  string
		ago   []time.Duration // since each mirror's last check; mirrors are named a, b, …
		index int
		wait  time.Duration
	}{
		{"no mirror", nil, -1, time.Hour},
		{"a new mirror", []time.Duration{never}, 0, 0},
		{"one that was checked", []time.Duration{20 * time.Minute}, 0, 40 * time.Minute},
		{"one that is due", []time.Duration{time.Hour}, 0, 0},
		{"the oldest comes first", []time.Duration{10 * time.Minute, 50 * time.Minute, 40 * time.Minute}, 1, 10 * time.Minute},
		{"a new one comes before, after a pause", []time.Duration{10 * time.Minute, never}, 1, 5 * time.Minute},
		{"many new ones, by name", []time.Duration{never, never, never}, 0, 0},
		{"many new ones are spread", []time.Duration{0, never, never, never, never, never}, 1, 5 * time.Minute},
		{"all are late", []time.Duration{90 * time.Minute, 99 * time.Minute, 4 * time.Hour}, 2, 0},
		{"all are late, and one was just checked", []time.Duration{90 * time.Minute, 99 * time.Minute, time.Minute}, 1, 9 * time.Minute},
		{"the clock was wrong", []time.Duration{-24 * time.Hour}, 0, 0},
		{"one clock was wrong", []time.Duration{2 * time.Hour, -24 * time.Hour}, 1, 0},
		{"one clock was wrong, a moment after another check", []time.Duration{time.Minute, -24 * time.Hour}, 1, 14 * time.Minute},
	} {
		var all []checked
		for i, ago := range c.ago {
			at := now.Add(-ago)
			if ago == never {
				at = time.Time{}
			}
			all = append(all, checked{Name{string(rune('a' + i))}, at})
		}
		if index, wait := nextCheck(all, time.Hour, now); index != c.index || wait != c.wait {
			t.Errorf("%s: %d in %s, want %d in %s", c.what, index, wait, c.index, c.wait)
		}
	}
}

// TestNoteCheck: readers are told what is on disk, and nothing else.
func TestNoteCheck(t *testing.T) {
	m := &Mirror{Dir: t.TempDir()}
	m.show(&Snapshot{})
	if err := m.noteCheck(errors.New("one is broken\n"), nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	before := m.Snapshot()
	state, err := readState(m.Dir)
	if err != nil || state.CheckError != "one is broken" || !state.Checked.Equal(before.Checked) || before.CheckError != state.CheckError {
		t.Errorf("on disk is %+v (%v), readers are told %+v", state, err, before)
	}
	m.Dir = filepath.Join(m.Dir, "gone")
	if err := m.noteCheck(nil, nil, time.Now()); err == nil {
		t.Error("noted where nothing can be written")
	}
	if m.Snapshot() != before || m.state.CheckError != "one is broken" {
		t.Errorf("readers are told %+v, and it is not on disk", m.Snapshot())
	}
}
