package protocol

import "testing"

func TestParseAddress(t *testing.T) {
	for raw, want := range map[string]string{
		"h": "http://h", "h:8080": "http://h:8080", "H:80": "http://h", "https://h:443": "https://h", "http://h": "http://h", "https://h:1/": "https://h:1",
		"127.0.0.1": "http://127.0.0.1", "[::1]:80": "http://[::1]",
		"": "", "h/x": "", "ftp://h": "", "u:p@h": "", "h:": "", "h:99999": "", "a b": "", "http://": "", "h?x": "", "-h": "",
	} {
		got, err := ParseAddress(raw)
		if got.URL() != want || (err == nil) != (want != "") {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", raw, got.URL(), err, want)
		}
	}
}
