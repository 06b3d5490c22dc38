package git

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

func TestParseProgress(t *testing.T) {
	for line, want := range map[string]struct {
		Progress
		words string
	}{
		"Receiving objects:  34% (340/1000), 5.05 MiB | 1.17 MiB/s": {
			Progress{"receiving objects", 34, 340, 1000, 5295308, 1226833}, "receiving objects 34 % (340 of 1000), 5.0 MiB at 1.2 MiB/s"},
		"Receiving objects: 100% (309/309), 812 bytes | 812.00 KiB/s, done.": {
			Progress{"receiving objects", 100, 309, 309, 812, 831488}, "receiving objects 100 % (309 of 309), 812 B at 812 KiB/s"},
		"Receiving objects:   1% (1/99), 1 byte | 1 byte/s": {
			Progress{"receiving objects", 1, 1, 99, 1, 1}, "receiving objects 1 % (1 of 99), 1 B at 1 B/s"},
		"Resolving deltas:  50% (1/2)":                   {Progress{"resolving deltas", 50, 1, 2, 0, 0}, "resolving deltas 50 % (1 of 2)"},
		"remote: Enumerating objects: 309, done.":        {Progress{"enumerating objects at the remote", 0, 309, 0, 0, 0}, "enumerating objects at the remote 309"},
		"remote: Finding sources: 999% (9/3)":            {Progress{"finding sources at the remote", 100, 3, 3, 0, 0}, "finding sources at the remote 100 % (3 of 3)"},
		"remote: Counting objects:   0% (0/0)":           {Progress{"counting objects at the remote", 0, 0, 0, 0, 0}, "counting objects at the remote"},
		"Receiving objects:   1% (1/9), 99999999999 TiB": {Progress{"receiving objects", 1, 1, 9, math.MaxInt64, 0}, "receiving objects 1 % (1 of 9), 8.0 EiB"},
	} {
		got, ok := parseProgress(line)
		if !ok || got != want.Progress || got.String() != want.words {
			t.Errorf("%q is %+v (%s), %v", line, got, got, ok)
		}
	}
	for _, line := range []string{"", "remote: Welcome to the server", "error: Receiving objects: 1", "Total 3 (delta 0)", "Receiving objects: x", "fatal: x"} {
		if got, ok := parseProgress(line); ok {
			t.Errorf("%q is %+v", line, got)
		}
	}
}

// FuzzProgress: whatever a remote says of its progress becomes few plain words and plausible
// numbers.
func FuzzProgress(f *testing.F) {
	for _, line := range []string{
		"Receiving objects:  34% (340/1000), 5.05 MiB | 1.17 MiB/s", "remote: Counting objects: 100% (2/2), done.", "remote: Enumerating objects: 309",
		"Resolving deltas: 100% (999999999999999999/1)", "Receiving objects:   1% (1/9), 1.1.1 TiB | . bytes/s", "Receiving objects:   1% (1/9), 999999999999999999 TiB",
		"Aaing  : 0",
	} {
		f.Add(line)
	}
	words := regexp.MustCompile(`^[a-z ]+[a-z]( [0-9]+ % \([0-9]+ of [0-9]+\)| [0-9]+)?(, [0-9.]+ [KMGTPE]?i?B)?( at [0-9.]+ [KMGTPE]?i?B/s)?$`)
	f.Fuzz(func(t *testing.T, line string) {
		p, ok := parseProgress(line)
		if !ok {
			return
		}
		if p.Percent < 0 || p.Percent > 100 || p.Done < 0 || p.Total < 0 || p.Total > 0 && p.Done > p.Total || p.Bytes < 0 || p.Rate < 0 {
			t.Errorf("%q is %+v", line, p)
		}
		if text := p.String(); !words.MatchString(text) || len(text) > 200 {
			t.Errorf("%q is shown as %q", line, text)
		}
	})
}

// TestFetchTellsItsProgress: what git says while it receives objects, and nothing of it is an error's
// text.
func TestFetchTellsItsProgress(t *testing.T) {
	g := New(Options{AllowLocal: true})
	r := origin.New(t, t.TempDir()+"/r.git")
	files := make(map[string]string)
	for i := range 50 {
		files[strings.Repeat("x", i+1)] = strings.Repeat("y", i)
	}
	id := r.Commit("main", files)
	repo := g.Repo(t.TempDir())
	if err := repo.Init(t.Context(), 40, ""); err != nil {
		t.Fatal(err)
	}
	var last Progress
	steps := make(map[string]bool)
	_, err := repo.Fetch(t.Context(), Remote{URL: r.Dir}, []string{id}, FetchMode{Hold: []string{id}}, func(p Progress) {
		steps[p.Step] = true
		if p.Step == "receiving objects" {
			last = p
		}
	})
	if err != nil || !steps["counting objects at the remote"] || last.Percent != 100 || last.Done != 52 || last.Total != 52 || last.Bytes == 0 {
		t.Errorf("the last progress is %+v, of %v; %v", last, steps, err)
	}
	err = repo.transfer(t.Context(), Remote{URL: r.Dir}, fetchRequest{ids: []string{id, strings.Repeat("1", 40)}}, nil, nil, nil)
	if err == nil || strings.Contains(err.Error(), "From ") || strings.Contains(err.Error(), "->") {
		t.Errorf("it fails with %v", err)
	}
}
