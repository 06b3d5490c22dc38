package archive

import (
	"slices"
	"strings"
	"testing"
)

func TestPaths(t *testing.T) {
	for asked, want := range map[string]string{
		"": "", "a": "a", "b a": "a b", "a a": "a", "a/b a": "a", "a a/b/c": "a", "a a-b a/b": "a a-b", "a/b a/c": "a/b a/c",
		"ab a": "a ab", "a/b/c a/b a/bc": "a/b a/bc", "x/y x/y/z x": "x",
	} {
		paths := strings.Fields(asked)
		got := NewPaths(paths)
		if list := strings.Join(got.List(), " "); list != want {
			t.Errorf("%q became %q, want %q", asked, list, want)
		}
		slices.Reverse(paths)
		if NewPaths(paths) != got {
			t.Errorf("%q the other way round is something else", asked)
		}
	}
}
