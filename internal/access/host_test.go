package access

import (
	"crypto/tls"
	"net/http"
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
