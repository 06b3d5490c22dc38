package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git/gittest"
)

func TestParseTar(t *testing.T) {
	for raw, want := range map[string]string{
		"/a/b":                           "a/b tar",
		"/a/?ref=v1&format=zip":          "a v1 zip",
		"/a?path=dir/file&prefix=a-1.0/": "a tar dir/file a-1.0/",
		"/a?path=dir/&prefix=x":          "a tar dir x/",
		"/a?path=*.txt":                  "a tar *.txt",
		"/a?path=:!x":                    "a tar :!x",
		"/a?path=..x/y..":                "a tar ..x/y..",
		"/a?path=-conf":                  "a tar -conf",
		"/a?path=a%01b%7f":               "a tar a\x01b\x7f",
		"/a?path=%ff%fe/%5c":             "a tar \xff\xfe/\\",
		"/a?contains=" + gittest.ID("a"): "a tar " + gittest.ID("a"),
		"/a?contains=" + gittest.ID("A"): "a tar " + gittest.ID("a"),
		"/a?ref=" + gittest.ID("A"):      "a " + gittest.ID("a") + " tar",
		"/a?format=tar.gz":               "a tar.gz",
		"/a?format=tar.zst":              "a tar.zst",
		"/a?ref=refs/heads/-x":           "a refs/heads/-x tar",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		req, err := parseTar(u)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		got := strings.Join(strings.Fields(strings.Join([]string{
			req.name.String(), req.want.ref, req.want.format.name, req.want.path, req.want.prefix, req.contains}, " ")), " ")
		if got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
	for _, query := range []string{
		"fromat=tar", "format=rar", "format=", "format=tar&format=zip", "ref=", "ref=-x", "ref=a..b", "path=", "path=/", "path=/etc",
		"path=..", "path=a/../b", "path=a//b", "path=./a", "path=a%00b", "path=" + strings.Repeat("a/", 2049),
		"prefix=../x", "prefix=/x", "prefix=-x", "prefix=", "prefix=" + strings.Repeat("a", 4097), "prefix=a%0a", "contains=abc",
		"a;b", "%zz",
	} {
		if req, err := parseTar(&url.URL{Path: "/m", RawQuery: query}); err == nil {
			t.Errorf("%.60s is taken: %+v", query, req)
		}
	}
}

func TestPrecondition(t *testing.T) {
	const strong, weak = `"abc"`, `W/"abc"`
	for _, c := range []struct {
		name, value, etag string
		want              int
	}{
		{"If-None-Match", `"abc"`, strong, 304}, {"If-None-Match", `W/"abc"`, strong, 304}, {"If-None-Match", `"x", "abc"`, strong, 304},
		{"If-None-Match", "*", strong, 304}, {"If-None-Match", `"x"`, strong, 0}, {"If-None-Match", `"abc"`, weak, 304},
		{"If-None-Match", `abc`, strong, 0}, {"If-None-Match", ``, strong, 0},
		{"If-Match", `"abc"`, strong, 0}, {"If-Match", `"x"`, strong, 412}, {"If-Match", "*", strong, 0}, {"If-Match", `W/"abc"`, weak, 412},
		{"If-Range", `"abc"`, strong, 0},
	} {
		if got := precondition(http.Header{http.CanonicalHeaderKey(c.name): {c.value}}, c.etag); got != c.want {
			t.Errorf("%s: %s for %s: %d, want %d", c.name, c.value, c.etag, got, c.want)
		}
	}
	if got := precondition(http.Header{"If-None-Match": {`"x"`, `"abc"`}}, strong); got != 304 {
		t.Errorf("in a second line: %d", got)
	}
}

func TestETag(t *testing.T) {
	tags := make(map[string]archive)
	for _, a := range []archive{
		{commit: gittest.ID("a"), format: findFormat("tar")}, {commit: gittest.ID("b"), format: findFormat("tar")},
		{commit: gittest.ID("a"), format: findFormat("zip")}, {commit: gittest.ID("a"), format: findFormat("tar"), path: "x"},
		{commit: gittest.ID("a"), format: findFormat("tar"), prefix: "x/"}, {commit: gittest.ID("a"), format: findFormat("tar"), subst: "f"},
		{commit: gittest.ID("a"), format: findFormat("tar"), path: "x\x00", prefix: ""},
	} {
		tag := a.etag()
		if other, ok := tags[tag]; ok {
			t.Errorf("%+v and %+v have one ETag", a, other)
		}
		tags[tag] = a
		if strings.HasPrefix(tag, "W/") != (a.subst != "") || tag != a.etag() {
			t.Errorf("%+v: %s", a, tag)
		}
	}
}

func TestWantsFresh(t *testing.T) {
	for value, want := range map[string]bool{"no-cache": true, "max-age=0, No-Cache": true, "no-cachex": false, "": false, "no-store": false} {
		if got := wantsFresh(http.Header{"Cache-Control": {value}}); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}
