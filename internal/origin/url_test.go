package origin

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestParseOrigin(t *testing.T) {
	for _, c := range []struct{ raw, url, user, password string }{
		{"https://h/x.git", "https://h/x.git", "", ""},
		{"HTTPS://H.Example/X.git", "https://h.example/X.git", "", ""},
		{"https://h:443/x", "https://h/x", "", ""},
		{"https://h:8443/x", "https://h:8443/x", "", ""},
		{"https://jack:s%40cret@h/x", "https://h/x", "jack", "s@cret"},
		{"https://token@h/x", "https://h/x", "token", ""},
		{"https://[::1]:80/x", "https://[::1]:80/x", "", ""},
		{"http://h/a%20b", "http://h/a%20b", "", ""},
		{"ssh://git@h:2222/x", "ssh://git@h:2222/x", "", ""},
		{"ssh://git:pw@h/x", "ssh://git@h/x", "", ""},
		{"git+ssh://git@h/x", "ssh://git@h/x", "", ""},
		{"ssh+git://git@h/~x", "ssh://git@h/~x", "", ""},
		{"git://h/x", "git://h/x", "", ""},
		{"git@h:jack/x.git", "git@h:jack/x.git", "", ""},
		{"git@[::1]:x", "git@[::1]:x", "", ""},
		{"/srv/x y.git", "/srv/x y.git", "", ""},
		{"/srv//x/", "/srv/x", "", ""},
		{"file:///srv/a%20b", "/srv/a b", "", ""},
		{"FILE:///srv/x", "/srv/x", "", ""},
	} {
		o, err := Parse(c.raw, true)
		if err != nil || o.String() != c.url || o.user != c.user || o.password != c.password {
			t.Errorf("ParseOrigin(%q) = %+v, %v", c.raw, o, err)
		}
		again, err := Parse(o.WithCredentials(), true)
		if err != nil || again != o {
			t.Errorf("%q passed on is %+v, %v", c.raw, again, err)
		}
	}
}

func TestParseOriginRefuses(t *testing.T) {
	for _, raw := range []string{
		"", "x", "x/y", "./x", "../x", "~/x", "h:x", "C:\\x", "ext::sh -c touch%20x", "ext::sh", "fd::7", "git@ext::sh",
		"--upload-pack=touch x", "-x", "rsync://h/x", "ftp://h/x", "file://h/x", "file://", "://x", "https://", "https:///x",
		"https://h", "https://h/", "https://h/x?y=z", "https://h/x#y", "https://h:0/x", "https://h:99999/x", "https://h:x/y",
		"https://jack:12/secret@host/x", "https://h/x\ny", "https://h/x y", "https://-h/x", "https://h%41/x", "https://h/\x00",
		"ssh://-oProxyCommand=x/y", "ssh://h%20x/y", "ssh://h%0a/y", "ssh://-x@h/y", "ssh://a b@h/y", "ssh://git@h/-x",
		"git@-h:x", "-git@h:x", "git@h:-x", "git@h:", "git@h:/", "git@h", "@h:x", "git@:x", "git@h%x:y", "git@[::1]x",
		"https://u%00:p@h/x", "https://u:p%0a@h/x", strings.Repeat("https://h/", 1000),
	} {
		if o, err := Parse(raw, true); err == nil {
			t.Errorf("ParseOrigin(%.60q) = %+v", raw, o)
		}
	}
	for _, raw := range []string{"/srv/x", "file:///srv/x", "FILE:///x"} {
		if _, err := Parse(raw, false); err == nil || !strings.Contains(err.Error(), "--unsecure") {
			t.Errorf("%q without --unsecure: %v", raw, err)
		}
	}
	for _, raw := range []string{
		"https://jack:hunter2secret@h/x?", "https://jack:12/hunter2secret@h/x", "jack@hunter2secret@h:y", "https://jack:hunter2secret@:1/x",
		"https://jack:hunter2secret@-h/x", "ftp://jack:hunter2secret@h/x", "https://jack:hunter2secret/x@y", "hunter2secret@h",
	} {
		if _, err := Parse(raw, true); err == nil || strings.Contains(err.Error(), "hunter2secret") {
			t.Errorf("%s: the error shows the password: %v", raw, err)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	parse := func(raw string) URL {
		o, err := Parse(raw, true)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"https://h/x", "https://H:443/x/", true},
		{"https://a:b@h/x", "https://c:d@h/x", true},
		{"https://h/x", "http://h/x", false},
		{"https://h/x", "https://h/X", false},
		{"https://h/x", "https://h:444/x", false},
		{"ssh://a@h/x", "git+ssh://b@h:22/x", true},
		{"git@h:x", "jack@h:x/", true},
		{"git@h:/x", "ssh://git@h/x", true},
		{"git@h:x", "ssh://git@h/x", false},
		{"/srv/x", "file:///srv/x/", true},
		{"https://h/x.git", "https://h/x", false},
	} {
		if got := parse(c.a).Same(parse(c.b)); got != c.same {
			t.Errorf("%s and %s: same = %v", c.a, c.b, got)
		}
	}
}

// helper is the name of a transport helper and its address, as git reads it
// (gitremote-helpers(7)).
var helper = regexp.MustCompile(`^[A-Za-z0-9+.-]+::`)

func FuzzParseOrigin(f *testing.F) {
	for _, s := range []string{"https://u:p@h:1/x", "git@h:x", "ssh://h/x", "/a b", "file:///x", "ext::x", "git@[::1]:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := Parse(raw, true)
		if err != nil {
			return
		}
		if o.url[0] == '-' || helper.MatchString(o.url) {
			t.Errorf("%q reaches git as %q", raw, o.url)
		}
		again, err := Parse(o.WithCredentials(), true)
		if err != nil || !again.Same(o) || again.user != o.user || again.password != o.password {
			t.Errorf("%q passed on is %+v, %v", raw, again, err)
		}
	})
}

// TestOriginsThatHideSomething: people read origins in texts, so no character may be invisible.
func TestOriginsThatHideSomething(t *testing.T) {
	for _, hidden := range []string{"\x1b[2J", "\u009b2J", "\u202e", "\u200b", "\ufeff", "\u2028"} {
		for _, raw := range []string{"git@h:x" + hidden + "y", "https://h/x" + hidden + "y", "/srv/x" + hidden + "y", "file:///srv/x" + url.PathEscape(hidden)} {
			if o, err := Parse(raw, true); err == nil {
				t.Errorf("%q is taken as %q", raw, o)
			}
		}
	}
}
