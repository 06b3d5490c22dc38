package git

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

func TestLineReader(t *testing.T) {
	for _, pieces := range [][]string{{"aa\nbb\ncc\n"}, {"a", "a\nb", "b\ncc", "\n"}, {"aa\n", "bb\n", "cc\nd"}} {
		var got []string
		f := &lineReader{each: func(line []byte) error { got = append(got, string(line)); return nil }}
		for _, p := range pieces {
			if n, err := f.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if want := []string{"aa", "bb", "cc"}; !slices.Equal(got, want) {
			t.Errorf("%q: %q", pieces, got)
		}
	}
}

func TestUnreachable(t *testing.T) {
	r := origin.New(t, t.TempDir())
	first := r.Commit("main", map[string]string{"f": "1"})
	second := r.Commit("main", map[string]string{"f": "2"})
	side := r.Commit("side", map[string]string{"f": "3"})
	blob := r.GitIn("words", "hash-object", "-w", "--stdin")
	none := strings.Repeat("1", 40)
	repo := New(Options{}).Repo(r.Dir)
	for _, c := range []struct {
		olds, news, want []string
	}{
		{[]string{first}, []string{second}, nil},
		{[]string{second}, []string{first}, []string{second}},
		{[]string{first, second, side}, []string{side}, []string{first, second}},
		{[]string{first, side}, []string{second, side}, nil},
		{[]string{none, blob, side}, []string{second, blob}, []string{side}},
	} {
		got, err := repo.Unreachable(t.Context(), c.olds, c.news)
		slices.Sort(c.want)
		if names := slices.Sorted(maps.Keys(got)); err != nil || !slices.Equal(names, c.want) {
			t.Errorf("%.4q, %.4q: %.4q, %v", c.olds, c.news, names, err)
		}
	}
	others, err := repo.NotCommits(t.Context(), []string{first, blob, none})
	if err != nil || others[first] || !others[blob] || others[none] {
		t.Errorf("no commits are %v, %v", others, err)
	}
}
