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
		{errors.Join(errors.New("a"), errors.New("b")), "a\n└─ b"},
		{errors.Join(fmt.Errorf("a: %w", errors.New("b")), errors.New("c")), "a\n├─ b\n└─ c"},
		{fmt.Errorf("top: %w", errors.Join(fmt.Errorf("a: %w", errors.New("b")), errors.New("c"))), "top\n├─ a\n│  └─ b\n└─ c"},
		{errors.Join(fmt.Errorf("a: %w", errors.Join(errors.New("b"), fmt.Errorf("c: %w", errors.New("d")))), errors.New("e")),
			"a\n├─ b\n├─ c\n│  └─ d\n└─ e"},
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
