package smarthttp

import (
	"strings"
	"testing"
)

func TestProtocolVersion(t *testing.T) {
	for header, want := range map[string]int{
		"": 0, "version=0": 0, "version=1": 1, "version=2": 2, "version=3": 0, "version=-1": 0, "version=": 0, "version": 0,
		"version=1:version=2": 2, "key:version=2:other=x": 2, "version=2:version=9": 2, "xversion=2": 0, "version=2;rm": 0,
	} {
		if got := Version([]string{header}); got != want {
			t.Errorf("%q: version %d, want %d", header, got, want)
		}
	}
	if got := Version([]string{"version=1", "version=2"}); got != 2 {
		t.Errorf("two headers: version %d", got)
	}
}

func TestCloneNames(t *testing.T) {
	long := strings.Repeat("a", 200)
	for raw, want := range map[string]string{
		"/m": "m", "/a/b": "a/b", "/m.git": "m.git m", "/a/m.git.git": "a/m.git.git a/m.git", "/" + long + ".git": long,
		"/x.git": "x.git", "": "", "/": "", "/.git": "", "/a/.git": "", "/x/m": "", "/a//b": "", "/a/../b": "", "/-x": "",
	} {
		names, err := Names(raw)
		var got []string
		for _, name := range names {
			got = append(got, name.String())
		}
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%q: %v, %v; want %q", raw, got, err, want)
		}
	}
}
