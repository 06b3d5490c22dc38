package lsrefs

import (
	"net/url"
	"strings"
	"testing"
)

// environment makes variables of words such as "http_proxy=…".
func environment(words string) func(string) (string, bool) {
	set := make(map[string]string)
	for word := range strings.FieldsSeq(words) {
		name, value, _ := strings.Cut(word, "=")
		set[name] = strings.ReplaceAll(value, "+", " ")
	}
	return func(name string) (string, bool) {
		value, ok := set[name]
		return value, ok
	}
}

func TestProxyFor(t *testing.T) {
	const none, git = "none", "git"
	for _, test := range []struct{ env, url, want string }{
		{"", "http://h/r", none},
		{"http_proxy=http://p:3128", "http://h/r", "http://p:3128"},
		{"http_proxy=p:3128/", "http://h/r", "http://p:3128"},
		{"HTTP_PROXY=http://p:3128", "http://h/r", none},
		{"http_proxy=http://p:3128", "https://h/r", none},
		{"https_proxy=http://p:1 HTTPS_PROXY=http://q:1", "https://h/r", "http://p:1"},
		{"https_proxy= HTTPS_PROXY=http://q:1 ALL_PROXY=http://a:1", "https://h/r", none},
		{"ALL_PROXY=http://a:1", "https://h/r", "http://a:1"},
		{"all_proxy=http://a:1 ALL_PROXY=http://b:1 http_proxy=http://p:1", "http://h/r", "http://p:1"},
		{"http_proxy=http://p:1", "http://127.0.0.1/r", "http://p:1"}, // net/http would not
		{"http_proxy=http://p:1", "http://[::1]/r", "http://p:1"},

		{"http_proxy=http://p", "http://h/r", git},
		{"http_proxy=https://p:1", "http://h/r", git},
		{"http_proxy=socks5h://p:1", "http://h/r", git},
		{"http_proxy=http://u:s@p:1", "http://h/r", git},
		{"http_proxy=http://p:1/x", "http://h/r", git},
		{"http_proxy=nonsense", "http://h/r", git},

		{"http_proxy=p:1 no_proxy=*", "http://h/r", none},
		{"http_proxy=p:1 no_proxy=*,x", "http://h/r", git},
		{"http_proxy=p:1 no_proxy=H.local", "http://h.LOCAL/r", none},
		{"http_proxy=p:1 no_proxy=x,+local", "http://h.local/r", none},
		{"http_proxy=p:1 no_proxy=.local", "http://h.local/r", none},
		{"http_proxy=p:1 no_proxy=.local", "http://local/r", git},
		{"http_proxy=p:1 no_proxy=cal", "http://h.local/r", "http://p:1"},
		{"http_proxy=p:1 no_proxy= NO_PROXY=local", "http://h.local/r", "http://p:1"},
		{"http_proxy=p:1 NO_PROXY=local", "http://h.local/r", none},
		{"http_proxy=p:1 no_proxy=10.0.0.1", "http://10.0.0.1/r", none},
		{"http_proxy=p:1 no_proxy=0.1", "http://10.0.0.1/r", git},
		{"http_proxy=p:1 no_proxy=10.0.0.0/8", "http://10.0.0.1/r", git},
		{"http_proxy=p:1 no_proxy=h:80", "http://h/r", git},
		{"http_proxy=p:1 no_proxy=x", "http://[::1]/r", git},
	} {
		u, err := url.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		got := none
		proxy, err := proxiesOf(environment(test.env)).proxyFor(u)
		if err != nil {
			got = git
		} else if proxy != nil {
			got = proxy.String()
		}
		if got != test.want {
			t.Errorf("with %s: %s for %s, want %s", test.env, got, test.url, test.want)
		}
	}
}
