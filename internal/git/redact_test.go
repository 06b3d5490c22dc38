package git

import "testing"

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"fatal: 'https://u:p@h/x'":            "fatal: 'https://***@h/x'",
		"https://token@h/x and http://a:b@c/": "https://***@h/x and http://***@c/",
		"https://u:p@ss@h/x":                  "https://***@h/x",
		"ssh://git@h/x":                       "ssh://git@h/x",
		"git+ssh://git:pw@h/x":                "git+ssh://***@h/x",
		"https://u:p/w@h/x":                   "https://***@h/x",
		"ssh://u:p/w@h/x":                     "ssh://***@h/x",
		"mail a@b, https://h/x":               "mail a@b, https://h/x",

		// Escaped, and with one slash.
		"name=https%3A%2F%2Fu%3Ap%40h%2Fx":   "name=https%3A%2F%2F***@h%2Fx",
		"https%253a%252f%252fu%253ap%2540h":  "https%253a%252f%252f***@h",
		"at https:/u:p@h/x":                  "at https:/***@h/x",
		"https://h/a%40b.git":                "https://h/a%40b.git",
		"https://h:8080/a%40b.git":           "https://h:8080/a%40b.git",
		"fatal: 'https://h/r%40x': no https": "fatal: 'https://h/r%40x': no https",

		// Cut off, or with a quote in the password.
		"https://u:secr…":              "https://***",
		`ref="https://u:se" is none`:   "ref=\"https://*** is none",
		"https://u:p'w@h/x":            "https://***",
		"http://h:80 https://h:8080/x": "http://h:80 https://h:8080/x",
		"http://[::1]:80/x http://h:":  "http://[::1]:80/x http://h:",

		"http://h:80: refused; (http://h:80), http://h:80. http://h:80?x": "http://h:80: refused; (http://h:80), http://h:80. http://h:80?x",
		"https://u:12ab…": "https://***",

		// Without a scheme.
		"/u:p@h/x.git":                       "/***@h/x.git",
		"git@h:x@v2 git@h:/x@v2 a:b c@d":     "git@h:x@v2 git@h:/x@v2 a:b c@d",
		"12:30 user@host: [::1]:80 x@y.z:80": "12:30 user@host: [::1]:80 x@y.z:80",
	} {
		if got := Redact(text); got != want {
			t.Errorf("Redact(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestRedactWord(t *testing.T) {
	for word, want := range map[string]string{
		"/https://u:p@h/x.git":     "/https://***@h/x.git",
		"/https://u:p w'\"\n@h/x":  "/https://***@h/x",
		"/https:/u:p w@h/x":        "/https:/***@h/x",
		"/https%3A//u%3Ap w%40h/x": "/https%3A//***@h/x",
		"ssh://git@h/x":            "ssh://git@h/x",
		"ssh://git:p w@h/x":        "ssh://***@h/x",
		"/u:p@h/x":                 "/***@h/x",
		"dev/emptyConfigs@2":       "dev/emptyConfigs@2",
		"127.0.0.1:80":             "127.0.0.1:80",
		"2026-01-02T15:04:05Z":     "2026-01-02T15:04:05Z",
	} {
		if got := RedactWord(word); got != want {
			t.Errorf("RedactWord(%q) = %q, want %q", word, got, want)
		}
	}
}
