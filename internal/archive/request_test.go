package archive

import (
	"net/url"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/git/gittest"
)

func TestParseRequest(t *testing.T) {
	for raw, want := range map[string]string{
		"/a/b":                           "a/b tar",
		"/a/?ref=v1&format=zip":          "a v1 zip",
		"/a?path=dir/file&prefix=a-1.0/": "a tar dir/file a-1.0/",
		"/a?path=dir/&prefix=x":          "a tar dir x/",
		"/a?path=*.txt":                  "a tar *.txt",
		"/a?path=:!x":                    "a tar :!x",
		"/a?path=..x/y..":                "a tar ..x/y..",
		"/a?path=-conf":                  "a tar -conf",
		"/a?path=b&path=a&path=b/":       "a tar a,b",
		"/a?path=b/c&path=a&path=b":      "a tar a,b",
		"/a?path=b-c&path=b/c&path=b":    "a tar b,b-c",
		"/a?path=a%01b%7f":               "a tar a\x01b\x7f",
		"/a?path=%ff%fe/%5c":             "a tar \xff\xfe/\\",
		"/a?contains=" + gittest.ID("a"): "a tar " + gittest.ID("a"),
		"/a?contains=" + gittest.ID("A"): "a tar " + gittest.ID("a"),
		"/a?ref=" + gittest.ID("A"):      "a " + gittest.ID("a") + " tar",
		"/a?format=tar.gz":               "a tar.gz",
		"/a?format=tar.zst":              "a tar.zst",
		"/a?format=tar.sha256":           "a tar sum",
		"/a?format=tar.gz.sha256":        "a tar.gz sum",
		"/a?format=bundle":               "a bundle",
		"/a?format=bundle.sha256&ref=b":  "a b bundle sum",
		"/a?ref=refs/heads/-x":           "a refs/heads/-x tar",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		req, err := ParseRequest(u)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		format, sum := req.Want.Format.Name, ""
		if req.Bundle {
			format = "bundle"
		}
		if req.Sum {
			sum = "sum"
		}
		got := strings.Join(strings.Fields(strings.Join([]string{
			req.Name.String(), req.Want.Ref, format, strings.Join(req.Want.Paths.List(), ","), req.Want.Prefix, req.Contains, sum}, " ")), " ")
		if got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
	for _, query := range []string{
		"fromat=tar", "format=bundle&id=1", "format=bundle&id=" + gittest.ID("a"), "id=" + gittest.ID("a"), "format=bundle&ref=v1&id=" + strings.Repeat("a", 64), "id=" + strings.Repeat("a", 64), "format=rar", "format=", "format=.sha256", "format=sha256", "format=tar.sha256.sha256", "format=tar.SHA256", "format=tar.md5", "format=bundle.md5", "format=bundle.sha256.sha256", "format=bundle.sha256&path=a", "format=bundle.sha256&prefix=a", "format=tar&format=zip", "ref=", "ref=-x", "ref=a..b", "path=", "path=/", "path=/etc",
		"path=..", "path=a/../b", "path=a//b", "path=./a", "path=a%00b", "path=" + strings.Repeat("a/", 2049),
		"path=a&path=", "path=a&path=../b", "path=a" + strings.Repeat("&path=a", 64),
		strings.Repeat("path="+strings.Repeat("a", 4000)+"&", 3) + "path=b",
		"prefix=../x", "prefix=/x", "prefix=-x", "prefix=", "prefix=" + strings.Repeat("a", 4097), "prefix=a%0a", "contains=abc",
		"a;b", "%zz",
	} {
		if req, err := ParseRequest(&url.URL{Path: "/m", RawQuery: query}); err == nil {
			t.Errorf("%.60s is taken: %+v", query, req)
		}
	}
}
