package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/protocol"
)

func TestPassed(t *testing.T) {
	var p passed[int]
	now := time.Unix(1e9, 0)
	enter := func(id string, value int) (int, bool) { return p.enter(id, now, func() int { return value }) }
	for _, c := range []struct {
		id          string
		value, want int
		again       bool
	}{{"a", 1, 1, false}, {"a", 2, 1, true}, {"b", 3, 3, false}, {"a", 4, 1, true}} {
		if got, again := enter(c.id, c.value); got != c.want || again != c.again {
			t.Errorf("%s: %d, %v", c.id, got, again)
		}
	}
	p.leave("a")
	p.leave("c")
	if got, again := enter("a", 5); got != 5 || again {
		t.Errorf("what was forgotten is %d, %v", got, again)
	}
	for i := range maxPassed {
		enter(fmt.Sprint(i), i)
	}
	if len(p.by) != maxPassed || len(p.queue) != maxPassed {
		t.Errorf("%d are remembered, %d in order", len(p.by), len(p.queue))
	}
	if _, again := enter("a", 6); again {
		t.Error("the oldest is remembered")
	}
	now = now.Add(passedTime)
	if _, again := enter("a", 7); again || len(p.by) != 1 || len(p.queue) != 1 {
		t.Errorf("after a while, %v, %d are remembered", again, len(p.by))
	}
}

// TestBegin: who gets what for the second copy of a request.
func TestBegin(t *testing.T) {
	first := protocol.Trace{ID: "id", Via: []string{"a"}}
	slaves := make([]protocol.Address, 3)
	for what, c := range map[string]struct {
		trace   protocol.Trace
		words   string
		same    bool // it gets the same work
		started int  // with so many slaves; -1 for not
	}{
		"by the same way":        {first, "m", true, -1},
		"by another way":         {protocol.Trace{ID: "id", Via: []string{"b"}}, "m", false, -1},
		"in other words":         {first, "n", false, 0},
		"another request":        {protocol.Trace{ID: "other", Via: []string{"a"}}, "m", false, 3},
		"in other words and way": {protocol.Trace{ID: "id", Via: []string{"a", "c"}}, "n", false, 0},
	} {
		s := &Server{}
		p, err := s.begin(first, "m", slaves, func([]protocol.Address) (*propagation, error) { return &propagation{}, nil })
		if err != nil {
			t.Fatal(err)
		}
		started := -1
		got, err := s.begin(c.trace, c.words, slaves, func(to []protocol.Address) (*propagation, error) {
			started = len(to)
			return &propagation{}, nil
		})
		if err != nil || (got == p) != c.same || started != c.started || (got == nil) != (!c.same && c.started < 0) {
			t.Errorf("%s: %v, %v, started with %d", what, got, err, started)
		}
	}
	s, broken := &Server{}, errors.New("broken")
	for range 2 { // what has come to nothing is tried again
		if _, err := s.begin(first, "m", nil, func([]protocol.Address) (*propagation, error) { return nil, broken }); err != broken {
			t.Errorf("got %v", err)
		}
	}
}
