package mirror

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestJournalOfPulls(t *testing.T) {
	var j Journal
	at := time.Unix(1_000_000, 0)
	add := func(p Pull) {
		p.Began = at
		at = at.Add(time.Minute)
		j.add(p)
	}
	add(Pull{Changed: 3, Revision: "a"})
	for range 5 {
		add(Pull{Error: "down", By: "a read"})
	}
	add(Pull{Error: "full", By: "a read"})
	add(Pull{Revision: "a"})
	add(Pull{Revision: "a", By: "10.0.0.1"})
	add(Pull{Changed: 1, Revision: "b"})
	add(Pull{Changed: 1, Revision: "b"})
	var got []string
	for _, p := range j.Pulls {
		got = append(got, fmt.Sprintf("%d×%s%s/%d in %s", p.Times, p.Error, p.Revision, p.Changed, p.Began.Sub(p.First)))
	}
	want := "1×a/3 in 0s, 5×down/0 in 4m0s, 1×full/0 in 0s, 2×a/0 in 1m0s, 1×b/1 in 0s, 1×b/1 in 0s"
	if strings.Join(got, ", ") != want {
		t.Errorf("%s, not\n%s", strings.Join(got, ", "), want)
	}
	for n := range 3 * maxPulls {
		add(Pull{Changed: n + 1})
	}
	if len(j.Pulls) != maxPulls || j.Pulls[maxPulls-1].Changed != 3*maxPulls {
		t.Errorf("%d pulls are remembered, the last with %d changes", len(j.Pulls), j.Pulls[len(j.Pulls)-1].Changed)
	}
}

// TestJournalsAreBounded: whoever asks for names that are refused fills no memory.
func TestJournalsAreBounded(t *testing.T) {
	s := newTestStore(t)
	long := errors.New(strings.Repeat("ü", maxJournalWords))
	for n := range maxJournals + 100 {
		s.Refuse(named(fmt.Sprint("m", n)), "10.0.0.1", long)
	}
	if n := len(s.journals.byName); n != maxJournals {
		t.Errorf("%d names are remembered", n)
	}
	last := s.Journal(named(fmt.Sprint("m", maxJournals+99)))
	if words := last.Refused.Words; len(words) > maxJournalWords+len("…") || last.Refused.By != "10.0.0.1" {
		t.Errorf("%d bytes are remembered of a refusal of %q", len(words), last.Refused.By)
	}
}

// TestFailingSince: the first failure tells since when, the next ones do not change it, a success
// forgets it.
func TestFailingSince(t *testing.T) {
	first, later := time.Unix(1000, 0), time.Unix(2000, 0)
	s := stateFile{Outcome: Success}
	s.fail("a", first)
	s.fail("b", later)
	if !s.Failing.Equal(first) || s.LastError != "b" || s.Outcome != Failed {
		t.Errorf("%+v", s)
	}
	s.Outcome = Success // as setSource does
	fetchedPlan{}.recordIn(&s)
	if !s.Failing.IsZero() {
		t.Errorf("after a success: %s", s.Failing)
	}
	old := stateFile{Outcome: Failed} // of an older version, which did not record it
	if old.fail("a", later); !old.Failing.IsZero() {
		t.Errorf("%s is when the failure was seen, not since when", old.Failing)
	}
}
