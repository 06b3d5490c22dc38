package forge

import (
	"net/http"
	"net/url"
	"testing"
)

// FuzzForges reads answers of forges: what comes of them is a list of repositories, and no longer than
// the answer, or an error.
func FuzzForges(f *testing.F) {
	for i, body := range []string{
		`[{"id": 1, "full_name": "a/b", "clone_url": "https://h/a/b.git", "fork": true}]`,
		`[{"id": 1, "path_with_namespace": "a/b", "forked_from_project": {"id": 2}}]`,
		`{"ok": true, "data": [{"id": 1, "full_name": "a/b"}]}`,
		`{"values": [{"id": 1, "slug": "b", "project": {"key": "A"}, "links": {"clone": [{"href": "x", "name": "ssh"}]}}], "isLastPage": false, "nextPageStart": 7}`,
		"https://h/a/b.git\n# c\ngit@h:a/b\n",
		`{"/a/b.git": {"modified": 1}}`,
	} {
		f.Add(i, body, `<https://h/?page=2>; rel="next", <x>; rel=last`)
	}
	at := []*url.URL{{Scheme: "https", Host: "h", Path: "/api/repos"}, {Scheme: "https", Host: "h", Path: "/api/v1/repos/search"}, {Scheme: "https", Host: "h"}}
	f.Fuzz(func(t *testing.T, kind int, body, link string) {
		k := Kinds[uint(kind)%uint(len(Kinds))]
		for _, at := range at {
			answer := &http.Response{Header: http.Header{"Link": {link}}, Request: &http.Request{URL: at}}
			page, err := apis[k].read(Source{Kind: k}, at.String(), answer, []byte(body))
			if err != nil {
				continue
			}
			if len(page.Repos) > len(body) && body[0] != 0x1f {
				t.Errorf("%d repositories of %d bytes", len(page.Repos), len(body))
			}
			for _, r := range page.Repos {
				if err := r.check(); err != nil {
					t.Error(err)
				}
			}
			if u, err := url.Parse(page.Next); err != nil || page.Next != "" && u.Host != "h" {
				t.Errorf("the next page is %q", page.Next)
			}
		}
		_ = said([]byte(body))
	})
}
