package access

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

func TestBaseURL(t *testing.T) {
	for host, want := range map[string]string{
		"Sould.Local": "://sould.local", "sould.local:8080": "://sould.local:8080", "127.0.0.1": "://127.0.0.1",
		"[::1]": "://[::1]", "[::1]:80": "://[::1]:80",
		"": "", "a b": "", `a"onload="x`: "", "a:port": "", "a/b": "", "u@a": "",
	} {
		for scheme, state := range map[string]*tls.ConnectionState{"http": nil, "https": {}} {
			all := want
			if want != "" {
				all = scheme + want
			}
			if got := BaseURL(&http.Request{Host: host, TLS: state}); got != all {
				t.Errorf("%q over %s: %q", host, scheme, got)
			}
		}
	}
}

func TestParseBaseURL(t *testing.T) {
	for raw, want := range map[string]string{
		"": "", "https://sould.local": "https://sould.local", "HTTP://Sould.Local:8080/": "http://sould.local:8080",
		"https://sould.local:443": "https://sould.local", "http://sould.local:80/": "http://sould.local",
		"https://sould.local:80": "https://sould.local:80", "https://[::1]:8443": "https://[::1]:8443", "http://10.1.2.3": "http://10.1.2.3",
	} {
		if got, err := ParseBaseURL(raw); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", raw, got, err, want)
		}
	}
	for raw, want := range map[string]string{
		"sould.local": "absolute", "sould.local:443": "absolute", "//sould.local": "absolute", "/sould": "absolute", "ftp://h": "absolute", "https://": "absolute",
		"https:h": "absolute", "https://h:": "absolute", "https://h:99999": "absolute", "https://h:x": "absolute", "https://a b": "absolute", "https://h\n": "absolute",
		"https://h/sould": "a path", "https://h//": "a path", "https://h/%2f": "a path",
		"https://h?": "a query", "https://h/?a=b": "a query", "https://h#": "a query", "https://h/#x": "a query",
		"https://u:secret@h": "no user", "https://@h": "no user", "https://secret@h:x": "no user",
	} {
		if got, err := ParseBaseURL(raw); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %q, %v; want an error with %q", raw, got, err, want)
		}
	}
}
