package origin

import "testing"

func TestPlace(t *testing.T) {
	for raw, want := range map[string]Place{
		"https://github.com/acme/widgets":                 {"github.com", "acme/widgets"},
		"https://GitHub.com/acme/widgets.git/":            {"github.com", "acme/widgets"},
		"https://jack:secret@github.com/acme/widgets":     {"github.com", "acme/widgets"},
		"http://github.com:8080/acme/widgets.git":         {"github.com", "acme/widgets"},
		"ssh://git@github.com:2222/acme/widgets.git":      {"github.com", "acme/widgets"},
		"ssh://git@ssh.github.com:443/acme/widgets.git":   {"github.com", "acme/widgets"},
		"git@github.com:acme/widgets.git":                 {"github.com", "acme/widgets"},
		"git@github.com:/acme/widgets":                    {"github.com", "acme/widgets"},
		"git@altssh.bitbucket.org:acme/widgets":           {"bitbucket.org", "acme/widgets"},
		"git://git.example/a/b/c.git":                     {"git.example", "a/b/c"},
		"https://git.example/~jack/a%2Db":                 {"git.example", "~jack/a-b"},
		"https://[2001:DB8::1]:8443/acme/widgets.git":     {"2001:db8::1", "acme/widgets"},
		"git@[2001:db8::1]:acme/widgets":                  {"2001:db8::1", "acme/widgets"},
		"https://git.example/a/Widgets.git":               {"git.example", "a/Widgets"},
		"/srv/git/widgets.git":                            {"", "srv/git/widgets"},
		"file:///srv/git/widgets/":                        {"", "srv/git/widgets"},
		"https://bitbucket.in.local/scm/proj/widgets.git": {"bitbucket.in.local", "scm/proj/widgets"},
	} {
		o, err := Parse(raw, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Place(); got != want {
			t.Errorf("%s is at %q, want %q", raw, got, want)
		}
	}
	if (URL{}).Place() != (Place{}) {
		t.Error("no origin is at a place")
	}
}

func TestRenamed(t *testing.T) {
	for _, c := range []struct{ raw, from, to, want string }{ // no want: refused
		{"https://git.example/acme/widgets", "acme/widgets", "acme/gears", "https://git.example/acme/gears"},
		{"https://git.example:8443/acme/widgets.git/", "acme/widgets", "other/gears", "https://git.example:8443/other/gears.git"},
		{"git@git.example:acme/widgets.git", "acme/widgets", "acme/gears", "git@git.example:acme/gears.git"},
		{"ssh://jack@git.example:2222/acme/widgets", "acme/widgets", "a/b/gears", "ssh://jack@git.example:2222/a/b/gears"},
		{"https://git.example/scm/proj/widgets.git", "scm/PROJ/widgets", "scm/proj/gears", "https://git.example/scm/proj/gears.git"},
		{"/srv/git/widgets.git", "srv/git/widgets", "srv/git/gears", "/srv/git/gears.git"},
		{"https://git.example/acme/widgets", "acme/other", "acme/gears", ""},
		{"https://git.example/macme/widgets", "acme/widgets", "acme/gears", ""},
		{"https://git.example/acme/widgets", "", "acme/gears", ""},
		{"https://git.example/acme/widgets", "git.example/acme/widgets", "evil.example/acme/widgets", ""},
		{"https://git.example/acme/widgets", "acme/widgets", "", ""},
		{"https://git.example/acme/widgets", "acme/widgets", "acme/gears?x=y", ""},
		{"https://git.example/acme/widgets", "acme/widgets", "-acme/gears", ""},
		{"https://git.example/acme/widgets", "acme/widgets", "@evil.example/gears", ""},
		{"https://git.example/acme/widgets", "acme/widgets", "/evil.example/gears", ""},
		{"https://git.example/acme/widgets", "acme/widgets", "acme/gears.git", ""},
		{"https://git.example/acme/widgets", "acme/widgets", "a%2Fb", ""},
		{"https://git.example/acme/widgets", "acme/widgets", "acme/../../gears", ""},
	} {
		o, err := Parse(c.raw, true)
		if err != nil {
			t.Fatal(err)
		}
		got, err := o.As("jack", "secret").Renamed(c.from, c.to)
		if got.String() != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s, renamed from %q to %q: %q, %v; want %q", c.raw, c.from, c.to, got, err, c.want)
		}
		if user, _ := got.Credentials(); err == nil && user != "jack" {
			t.Errorf("%s, renamed, has lost its credentials", c.raw)
		}
	}
}

// Looking at the place of each mirror for each delivery of a webhook must cost next to nothing.
func BenchmarkPlace(b *testing.B) {
	o, err := Parse("https://git.example/acme/widgets.git", false)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		o.Place()
	}
}
