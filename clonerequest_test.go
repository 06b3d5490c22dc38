package main

import (
	"net/http"
	"strings"
	"testing"
	"time"
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

func TestPace(t *testing.T) {
	began := time.Now()
	for _, c := range []struct {
		read        int64
		limit, want time.Duration
	}{
		{0, 0, bodyTimeout},
		{1, 0, bodyTimeout + writeTimeout/maxPiece},
		{maxPiece, 0, bodyTimeout + writeTimeout},
		{maxCloneBody, 0, bodyTimeout + maxCloneBody/maxPiece*writeTimeout},
		{0, time.Minute, bodyTimeout},
		{maxCloneBody, time.Minute, time.Minute},
	} {
		p := pacedReader{began: began, read: c.read}
		if c.limit > 0 {
			p.until = began.Add(c.limit)
		}
		if got := p.deadline().Sub(began); got != c.want {
			t.Errorf("%d bytes within %s: the next must be there after %s, want %s", c.read, c.limit, got, c.want)
		}
	}
}
