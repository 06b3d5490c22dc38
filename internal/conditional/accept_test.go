package conditional

import (
	"net/http"
	"testing"
)

func TestAccepts(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": true, "text/html, Application/JSON;q=0.9": true, "application/jsonp": false,
		"text/html,application/json;q=0": false, "application/json; Q=0.0": false, "application/json;q=0.001": true, "application/json;v=1;q=0": false,
	} {
		if got := Accepts(http.Header{"Accept": {accept}}, "application/json"); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

func TestPrefersPage(t *testing.T) {
	for _, c := range []struct {
		accept []string
		want   bool
	}{
		{nil, false}, {[]string{"*/*"}, false}, {[]string{"application/json"}, false},
		{[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, true}, // a browser
		{[]string{"TEXT/HTML ; q=0.5"}, true}, {[]string{"text/html;q=0"}, false}, {[]string{"text/html;q=often"}, false},
		{[]string{"text/html;q=0.5, text/plain"}, false}, {[]string{"text/html;q=0.5", "application/json;q=0.4"}, true},
		{[]string{"application/toml", "text/html"}, true},
	} {
		if got := PrefersPage(http.Header{"Accept": c.accept}); got != c.want {
			t.Errorf("%q: %v", c.accept, got)
		}
	}
}
