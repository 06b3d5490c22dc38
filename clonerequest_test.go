package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestProtocolVersion(t *testing.T) {
	for header, want := range map[string]int{
		"": 0, "version=0": 0, "version=1": 1, "version=2": 2, "version=3": 0, "version=-1": 0, "version=": 0, "version": 0,
		"version=1:version=2": 2, "key:version=2:other=x": 2, "version=2:version=9": 2, "xversion=2": 0, "version=2;rm": 0,
	} {
		if got := protocolVersion([]string{header}); got != want {
			t.Errorf("%q: version %d, want %d", header, got, want)
		}
	}
	if got := protocolVersion([]string{"version=1", "version=2"}); got != 2 {
		t.Errorf("two headers: version %d", got)
	}
}

func TestCloneNames(t *testing.T) {
	long := strings.Repeat("a", 200)
	for raw, want := range map[string]string{
		"/m": "m", "/a/b": "a/b", "/m.git": "m.git m", "/a/m.git.git": "a/m.git.git a/m.git", "/" + long + ".git": long,
		"/x.git": "x.git", "": "", "/": "", "/.git": "", "/a/.git": "", "/x/m": "", "/a//b": "", "/a/../b": "", "/-x": "",
	} {
		names, err := cloneNames(raw)
		var got []string
		for _, name := range names {
			got = append(got, name.String())
		}
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%q: %v, %v; want %q", raw, got, err, want)
		}
	}
}

func TestInsists(t *testing.T) {
	for what, c := range map[string]struct {
		header http.Header
		want   bool
	}{
		"nothing":              {http.Header{}, false},
		"every git":            {http.Header{"Pragma": {"no-cache"}, "Cache-Control": {"no-cache"}}, false},
		"git with a word more": {http.Header{"Pragma": {"no-cache"}, "Cache-Control": {"max-age=0, no-cache"}}, true},
		"another client":       {http.Header{"Cache-Control": {"no-cache"}}, true},
	} {
		if got := insists(c.header); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
