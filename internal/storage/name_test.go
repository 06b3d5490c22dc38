package storage

import (
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	long := strings.Repeat("a", maxComponent)
	for raw, want := range map[string]string{
		"configs":                 "configs",
		"my/dev/mirror":           "my/dev/mirror",
		"/my/dev/":                "my/dev",
		"A.b_c-d+e~f@g":           "A.b_c-d+e~f@g",
		"a.git":                   "a.git",
		"y/x":                     "y/x",
		"info/refs/a":             "info/refs/a",
		"_x/x":                    "_x/x",
		long:                      long,
		long + "/" + long:         long + "/" + long,
		"":                        "",
		"/":                       "",
		"a//b":                    "",
		"..":                      "",
		"a/../b":                  "",
		"a/..":                    "",
		".":                       "",
		".sould":                  "",
		"a/.git":                  "",
		"-a":                      "",
		"a/-b":                    "",
		"a.lock":                  "",
		"a.lock/b":                "",
		"a\x00b":                  "",
		"a\nb":                    "",
		`a\b`:                     "",
		"a b":                     "",
		"ä":                       "",
		"a%2fb":                   "",
		"a:b":                     "",
		"x":                       "",
		"x/status":                "",
		"a/info/refs":             "",
		"info/refs":               "",
		"a/git-upload-pack":       "",
		"git-receive-pack":        "",
		long + "a":                "",
		strings.Repeat("a/", 501): "",
	} {
		got, err := ParseName(raw)
		if got.String() != want || (err == nil) != (want != "") {
			t.Errorf("ParseName(%.40q) = %q, %v; want %q", raw, got, err, want)
		}
	}
}

func TestNameRelations(t *testing.T) {
	n := Name{"a/b/c"}
	if above := n.Above(); len(above) != 2 || above[0].s != "a" || above[1].s != "a/b" {
		t.Errorf("Above = %v", above)
	}
	if !n.Inside(Name{"a"}) || !n.Inside(Name{"a/b"}) || n.Inside(n) || n.Inside(Name{"a/bc"}) || (Name{"ab"}).Inside(Name{"a"}) {
		t.Error("Inside is wrong")
	}
	if n.Base() != "c" || (Name{"a"}).Base() != "a" {
		t.Error("Base is wrong")
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"a/b", "..", "a//b", "x/y", "a.lock", "a\x00", "/a/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		n, err := ParseName(raw)
		if err != nil {
			return
		}
		for c := range strings.SplitSeq(n.Path(), "/") {
			if c == "" || c[0] == '.' || c[0] == '-' || strings.ContainsAny(c, "\\\x00") {
				t.Errorf("%q became the path %q", raw, n.Path())
			}
		}
		if again, err := ParseName(n.String()); err != nil || again != n {
			t.Errorf("%q is not read back: %v", n, err)
		}
	})
}

// TestAnOriginIsNoName: the error does not show the password either.
func TestAnOriginIsNoName(t *testing.T) {
	for _, raw := range []string{
		"https://jack:hunter2secret@h/x", "https://jack:hunter2secret@-h/x", "ftp://jack:hunter2secret@h/x", "https://jack:hunter2secret/x@y",
		"https://jack:hunter2secret@h/x?", "https://jack:12/hunter2secret@h/x", "jack@hunter2secret@h:y", "https://jack:hunter2secret@:1/x",
	} {
		if _, err := ParseName(raw); err == nil || strings.Contains(err.Error(), "hunter2secret") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
