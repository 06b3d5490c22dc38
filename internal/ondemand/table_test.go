package ondemand

import (
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

func TestOrigins(t *testing.T) {
	const github = "https://github.com/{path}"
	for _, c := range []struct{ template, path, want string }{
		{github, "acme/x", "https://github.com/acme/x"},
		{github, "acme/x.y_z~1+2", "https://github.com/acme/x.y_z~1+2"},
		{github, "evil.com@acme/x", "https://github.com/evil.com%40acme/x"},
		{"https://github.com:443/{path}.git", "acme/x", "https://github.com/acme/x.git"},
		{"https://git.in.local:8443/scm/{path}.git", "a/b/c", "https://git.in.local:8443/scm/a/b/c.git"},
		{"git@git.in.local:team/{path}", "a@b/x", "git@git.in.local:team/a@b/x"},
		{"git@git.in.local:{path}.git", "~jack/x", "git@git.in.local:~jack/x.git"},
		{"ssh://git@git.in.local:2222/{path}", "a@b", "ssh://git@git.in.local:2222/a%40b"},
		{"git://kernel.local/pub/{path}", "linux", "git://kernel.local/pub/linux"},
		{"/srv/git/{path}", "a@b/c", "/srv/git/a@b/c"},

		{github, "", ""}, {github, "/acme", ""}, {github, "acme//x", ""}, {github, "acme/", ""},
		{github, "../x", ""}, {github, "acme/../../x", ""}, {github, "./x", ""}, {github, "acme/%2e%2e/x", ""},
		{github, "acme%2Fx", ""}, {github, ":8443/x", ""}, {github, "@evil.com/x", "https://github.com/%40evil.com/x"},
		{github, "acme/x?y", ""}, {github, "acme/x#y", ""}, {github, "acme/x y", ""}, {github, "acme\\x", ""},
		{github, "ücme/x", ""}, {github, "acme/x\n", ""}, {github, "-x/y", ""}, {github, "acme/" + strings.Repeat("x", 201), ""},
		{"git@git.in.local:{path}", ":evil", ""}, {"git@git.in.local:{path}", "-x", ""},
	} {
		if err := checkTemplate(c.template); err != nil {
			t.Errorf("%s: %v", c.template, err)
		}
		got, err := Rule{Template: c.template}.Origin(c.path)
		if (err == nil) != (c.want != "") || got.String() != c.want {
			t.Errorf("%s with %q is %q (%v), want %q", c.template, c.path, got, err, c.want)
		}
	}
}

func TestTemplatesThatAreNone(t *testing.T) {
	for template, want := range map[string]string{
		"":                                    "must contain {path} once",
		"https://github.com/":                 "must contain {path} once",
		"https://github.com/{path}/{path}":    "must contain {path} once",
		"https://{path}":                      "names a host, but no repository",
		"https://{path}/x":                    "must stand behind the host",
		"https://h.{path}/x":                  "write a slash before it",
		"https://h:{path}":                    "not a well-formed URL",
		"https://h/x{path}":                   "write a slash before it",
		"https://h/?x=/{path}":                "has a query",
		"https://h/#/{path}":                  "has a query or a fragment",
		"https://jack:s3cr3t@h/{path}":        "~/.netrc",
		"https://jack@h/{path}":               "~/.netrc",
		"https://{path}@h/x":                  "~/.netrc",
		"git@{path}:x":                        "write a slash before it",
		"ext::sh -c /{path}":                  "contains a space",
		"gopher://h/{path}":                   "scheme",
		"{path}":                              "write a slash before it",
		"https://h/" + "../" + "{path}\u202e": "cannot be shown",
	} {
		if err := checkTemplate(template); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: %v, want %q", template, err, want)
		}
	}
}

func TestPrefixes(t *testing.T) {
	for raw, want := range map[string]string{
		"github.com": "github.com/", "github.com/": "github.com/", "/a/b//": "a/b/",
		"": "", "/": "", "x/": "", "x/github.com": "", "a//b": "", ".a": "", "https://github.com/": "", "ü/": "", "a.lock/": "",
	} {
		if got, err := parsePrefix(raw); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v", raw, got, err)
		}
	}
}

func TestFind(t *testing.T) {
	tables := NewTables([]Rule{{Prefix: "github.com/"}, {Prefix: "github.com/acme/"}, {Prefix: "g/"}, {Prefix: "Lab/", IgnoreCase: true}})
	for raw, want := range map[string][2]string{
		"github.com/jack/x":      {"github.com/", "jack/x"},
		"github.com/acme/x":      {"github.com/acme/", "x"},
		"github.com/acme":        {"github.com/", "acme"},
		"github.com/jack/x.git":  {"github.com/", "jack/x"},
		"github.com/j/x.git.git": {"github.com/", "j/x"},
		"github.com/j.git/x":     {"github.com/", "j.git/x"},
		"github.com":             {},
		"github.community/x":     {},
		"GitHub.com/x":           {},
		"g/x":                    {"g/", "x"},
		"Lab/Acme/X":             {"Lab/", "acme/x"},
		"lab/acme/x.GIT":         {"Lab/", "acme/x"},
		"LAB/x":                  {"Lab/", "x"},
		"lab":                    {},
		"Label/x":                {},
	} {
		name, err := storage.ParseName(raw)
		if err != nil {
			t.Fatal(err)
		}
		if r, path, ok := tables.Find(name); r.Prefix != want[0] || path != want[1] || ok != (want[0] != "") {
			t.Errorf("%s: %q, %q, %v", raw, r.Prefix, path, ok)
		}
	}
	if _, _, ok := (Tables{}).Find(storage.Name{}); ok {
		t.Error("no tables have a rule")
	}
}

// FuzzOrigin: whatever the path, an origin is where the template says.
func FuzzOrigin(f *testing.F) {
	for _, path := range []string{"acme/x", "a@b", "evil.com@x", "..", "a/../..", "a//b", "%2F", ":80/x", "a.git", "ü", "~x", "a\\b", "@", "-a", "a%40b"} {
		f.Add(path)
	}
	templates := []string{
		"https://github.com/{path}", "http://git.in.local:8080/scm/{path}.git", "git@git.in.local:{path}", "git@git.in.local:team/{path}.git",
		"ssh://git@git.in.local:2222/{path}", "git://git.in.local/{path}", "/srv/git/{path}",
	}
	f.Fuzz(func(t *testing.T, path string) {
		for _, template := range templates {
			harmless, err := origin.Parse(strings.Replace(template, pathWord, "a", 1), true)
			if err != nil {
				t.Fatal(err)
			}
			before := strings.TrimSuffix(harmless.String(), "a"+strings.SplitAfter(template, pathWord)[1])
			got, err := Rule{Template: template}.Origin(path)
			if err != nil {
				continue
			}
			user, password := got.Credentials()
			if got.Host() != harmless.Host() || !strings.HasPrefix(got.String(), before) || user+password != "" {
				t.Errorf("%s with %q leads to %s", template, path, got)
			}
			for step := range strings.SplitSeq(strings.TrimPrefix(got.String(), before), "/") {
				if step == "" || step == "." || step == ".." {
					t.Errorf("%s with %q has a step %q: %s", template, path, step, got)
				}
			}
			if again, err := origin.Parse(got.String(), true); err != nil || !again.Same(got) {
				t.Errorf("%s is read again as %s, %v", got, again, err)
			}
		}
	})
}
