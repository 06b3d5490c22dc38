package errtext

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git"
)

func TestTree(t *testing.T) {
	inner := errors.New("fatal: one\nfatal: two")
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("alone"), "alone"},
		{fmt.Errorf("a: %w", fmt.Errorf("b: %w", inner)), "a\n└─ b\n   └─ fatal: one\n      fatal: two"},
		{fmt.Errorf("%w", fmt.Errorf("a: %w", errors.New("b"))), "a\n└─ b"},
		{fmt.Errorf("can't: %w", fmt.Errorf("%w: %w", git.ErrMoved, inner)), "can't\n└─ the origin changed while it was read\n   └─ fatal: one\n      fatal: two"},
		{errors.Join(fmt.Errorf("a: %w", errors.New("b")), nil), "a\n└─ b"},
		{errors.Join(errors.New("a"), errors.New("b")), "├─ a\n└─ b"},
		{errors.Join(fmt.Errorf("a: %w", errors.New("b")), errors.New("c")), "├─ a\n│  └─ b\n└─ c"},
		{errors.Join(inner, errors.New("c")), "├─ fatal: one\n│  fatal: two\n└─ c"},
		{fmt.Errorf("top: %w", errors.Join(fmt.Errorf("a: %w", errors.New("b")), errors.New("c"))), "top\n├─ a\n│  └─ b\n└─ c"},
		{errors.Join(fmt.Errorf("a: %w", errors.Join(errors.New("b"), fmt.Errorf("c: %w", errors.New("d")))), errors.New("e")),
			"├─ a\n│  ├─ b\n│  └─ c\n│     └─ d\n└─ e"},
		{Several("what", errors.Join(errors.New("a"), fmt.Errorf("b: %w", errors.New("c"))), errors.New("d")), "what\n├─ a\n├─ b\n│  └─ c\n└─ d"},
		{fmt.Errorf("%w (see %w)", errors.New("a"), errors.New("b")), "a (see b)"},
		{fmt.Errorf("no text of %w in the end, but words", errors.New("b")), "no text of b in the end, but words"},
		{errors.New("bell\a \x1b[31mred\x1b[0m \u202ereversed https://u:pw@h/"), "bell [31mred[0m reversed https://***@h/"},
	} {
		if got := Tree(c.err); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
}

func TestClip(t *testing.T) {
	if got := Clip("abcdé", 5); got != "abcd…" {
		t.Errorf("got %q", got)
	}
	if got := Clip("abc", 3); got != "abc" {
		t.Errorf("got %q", got)
	}
	if got := Clip(strings.Repeat("é", 10), 5); got != "éé…" {
		t.Errorf("got %q", got)
	}
}

// TestBranches: what stands side by side in one tree can do so in another one.
func TestBranches(t *testing.T) {
	for _, err := range []error{
		errors.New("alone"),
		errors.New("two\nlines"),
		fmt.Errorf("a: %w", errors.Join(errors.New("b"), errors.New("c\nd"))),
		errors.Join(fmt.Errorf("a: %w", errors.New("b\nc")), errors.New("d\ne"), errors.New("f")),
	} {
		got := Branch{"top", Branches(Tree(err))}.String()
		if want := (Branch{"top", branchesOf(err)}).String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	for _, foreign := range []string{"", "├─ ", "├─ a\nb\n\n│", "└─ a", "├─ a\n│ \n└─"} {
		Branches(foreign) // which may be anything
	}
}

func TestSameReason(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"can't list refs\nfatal: x", "can't list refs; fatal: x", true},
		{"Failed to connect to h port 80 after 0 ms", "Failed to connect to h port 80 after 12 ms", true},
		{"no answer within 20s", "no answer within 1.5s", true},
		{"Failed to connect to h port 80", "Failed to connect to h port 81", false},
		{"a", "b", false},
	} {
		if got := SameReason(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"":            "",
		" one\n":      "one",
		"a  b\n\n c":  "a b; c",
		"One.\nTwo":   "One. Two",
		"One…\nTwo":   "One… Two",
		"one\nTwo":    "one; Two",
		"one:\ntwo\t": "one: two",
		"ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.\n\n" +
			"Please make sure you have the correct access rights\nand the repository exists.": "ssh: connect to host h port 22: Connection refused; " +
			"fatal: Could not read from remote repository. Please make sure you have the correct access rights and the repository exists.",
	} {
		if got := Line(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
