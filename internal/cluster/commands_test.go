package cluster

import (
	"errors"
	"fmt"
	"testing"

	"github.com/reconquest/sould/internal/protocol"
)

// TestCommands: who gets what for the second copy of a command.
func TestCommands(t *testing.T) {
	const again, elsewhere, anew = "the same work", "elsewhere", "work that is not passed on"
	first := protocol.Trace{ID: "id", Via: []string{"a"}}
	for what, c := range map[string]struct {
		trace protocol.Trace
		words string
		want  string
	}{
		"by the same way":        {first, "m", again},
		"by another way":         {protocol.Trace{ID: "id", Via: []string{"b"}}, "m", elsewhere},
		"in other words":         {first, "n", anew},
		"in other words and way": {protocol.Trace{ID: "id", Via: []string{"a", "c"}}, "n", anew},
		"another command":        {protocol.Trace{ID: "other", Via: []string{"a"}}, "m", "the first work"},
	} {
		var cs Commands[string]
		if _, err := cs.Begin(first, "m", func(bool) (string, error) { return again, nil }); err != nil {
			t.Fatal(err)
		}
		got, err := cs.Begin(c.trace, c.words, func(first bool) (string, error) {
			if first {
				return "the first work", nil
			}
			return anew, nil
		})
		if errors.Is(err, ErrElsewhere) {
			got, err = elsewhere, nil
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", what, got, err, c.want)
		}
	}
}

// TestWorkThatIsNotKept: of commands of clients, which nobody else can send in the same way, and of
// those that came long ago. A copy is told that the work is done elsewhere.
func TestWorkThatIsNotKept(t *testing.T) {
	var cs Commands[string]
	begin := func(trace protocol.Trace) error {
		_, err := cs.Begin(trace, "m", func(bool) (string, error) { return "work", nil })
		return err
	}
	if err := begin(protocol.Trace{ID: "of a client", Begins: true}); err != nil {
		t.Fatal(err)
	}
	for _, via := range [][]string{nil, {"a"}} {
		if err := begin(protocol.Trace{ID: "of a client", Via: via}); err != ErrElsewhere {
			t.Errorf("a copy by way of %v: %v", via, err)
		}
	}
	for i := range maxKeptWork + 1 {
		for range 2 { // the second one finds the work
			if err := begin(protocol.Trace{ID: fmt.Sprint(i), Via: []string{"a"}}); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	if err := begin(protocol.Trace{ID: "0", Via: []string{"a"}}); err != ErrElsewhere || len(cs.kept) != maxKeptWork {
		t.Errorf("the oldest: %v, %d are kept", err, len(cs.kept))
	}
}

// TestCommandsThatFail: what has come to nothing is tried again.
func TestCommandsThatFail(t *testing.T) {
	var cs Commands[string]
	broken, tries := errors.New("broken"), 0
	for range 2 {
		_, err := cs.Begin(protocol.Trace{ID: "id"}, "m", func(first bool) (string, error) {
			if tries++; !first {
				t.Error("it is not the first")
			}
			return "", broken
		})
		if err != broken {
			t.Errorf("got %v", err)
		}
	}
	if tries != 2 {
		t.Errorf("it was tried %d times", tries)
	}
}
