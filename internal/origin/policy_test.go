package origin

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

func patterns(t testing.TB, raw ...string) (all []Pattern) {
	t.Helper()
	for _, s := range raw {
		p, err := ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		pattern         string
		allowed, denied string // origins, separated by spaces
	}{
		{"https://git.in.local/",
			"https://git.in.local/x https://GIT.in.local:443/a/b.git https://u:p@git.in.local/x https://git.in.local//x",
			"http://git.in.local/x https://git.in.local:8443/x https://git.in.local.evil.com/x https://evil.com/git.in.local/x ssh://git.in.local/x " +
				"https://git.in.local@evil.com/x https://git.in.local:p@evil.com/x https://in.local/x https://xgit.in.local/x git://git.in.local/x git@git.in.local:x " +
				"https://git.in.local/a/../b https://git.in.local/%2e%2e/b"},
		{"https://git.in.local", "https://git.in.local/x", "https://git.in.local.evil.com/x https://git.in.locale/x"},
		{"https://h/team/",
			"https://h/team/x https://h/team/a/b https://h/t%65am/x https://h/team/x%20y https://h/team/.x https://h/team/x..y https://h/team//x",
			"https://h/teams/x https://h/team.git https://h/tea https://h/x/team/y https://h/Team/x https://h//team/x https://h/team/../x " +
				"https://h/team/.. https://h/team/./x https://h/team/%2e%2e/x https://h/team/%2E./x https://h/team/.%2e/x https://h/team/..%2fx https://h/team%2fx " +
				"https://h/team/%252e%252e/x https://h/team/%25252e%25252e/x https://h/team/..%5cx https://h/team/..;/x https://h/team/..%3b/x https://h/team/..%20/x " +
				"https://h/team/%252fx https://h/team/x%00 https://h/team/x%0a"},
		{"https://h/team", "https://h/team https://h/team/ https://h/team/x", "https://h/team2 https://h/team-x/y"},
		{"https://h/a%20b/", "https://h/a%20b/x", "https://h/a%2520b/x"},
		{"https://h:8443/", "https://h:8443/x", "https://h/x https://h:8444/x"},
		{"ssh://git@h/team/", "ssh://git@h/team/x git+ssh://git@h:22/team/x git@h:/team/x",
			"ssh://h/team/x ssh://root@h/team/x git@h:team/x ssh://git@h:2222/team/x git@h:../team/x git@h:/team/../x git@h:/x https://h/team/x"},
		{"ssh://h/", "ssh://git@h/x ssh://h/x jack@h:x git@h:/x git@h:~/x", "ssh://git@hh/x git@h.evil:x"},
		{"git@h:team/", "git@h:team/x", "git@h:teams/x git@h:x jack@h:team/x ssh://git@h/team/x git@h:team/../x git@h:/team/x git@hh:team/x"},
		{"git@h:", "git@h:x git@h:/x ssh://git@h/x", "jack@h:x ssh://h/x"},
		{"git@[::1]:team", "git@[::1]:team/x", "git@[::2]:team/x"},
		{"h", "https://h/x http://h:8080/x ssh://git@h/x git@h:x git://h/x https://u:p@h/x",
			"https://hh/x https://h.evil.com/x https://evil.com/h https://h@evil.com/x h@evil.com:x /h https://h/../x"},
		{"H.In.Local", "https://h.in.local/x", "https://in.local/x"},
		{"h:8443", "https://h:8443/x http://h:8443/x ssh://git@h:8443/x", "https://h/x https://h:8444/x git@h:8443/x"},
		{"::1", "http://[::1]/x http://[::1]:8080/x", "http://[::2]/x"},
		{"[::1]:8080", "http://[::1]:8080/x", "http://[::1]/x"},
		{"git://h/pub", "git://h/pub/x git://h:9418/pub", "git://h/public/x git://h:1/pub/x"},
		{"/srv/git", "/srv/git/x file:///srv/git/x /srv/git /srv/./git/x", "/srv/gitx /srv /srv/git/../x file:///srv/git/%2e%2e/x https://srv/git/x"},
		{"file:///srv/git/", "/srv/git/x", "/srv/x"},
	} {
		set := Policy{Local: true, Patterns: patterns(t, "https://other.host/", c.pattern)}
		for i, list := range []string{c.allowed, c.denied} {
			for raw := range strings.FieldsSeq(list) {
				o, err := Parse(raw, true)
				if err != nil {
					if i == 0 {
						t.Errorf("%s is no origin: %v", raw, err)
					}
					continue // Parse refuses it
				}
				if err := set.Check(o); (err == nil) != (i == 0) {
					t.Errorf("%s allows %s: %v", c.pattern, raw, err)
				} else if err != nil && (strings.Contains(err.Error(), ":p@") || !strings.Contains(err.Error(), "origin")) {
					t.Errorf("%s: %v", raw, err)
				}
			}
		}
	}

	local, err := Parse("/srv/git/x", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []Policy{{}, {Patterns: patterns(t, "/srv/git")}} {
		if err := set.Check(local); err == nil || !strings.Contains(err.Error(), "--unsecure") {
			t.Errorf("a local path without --unsecure: %v", err)
		}
	}
}

func TestParseOriginPattern(t *testing.T) {
	for _, raw := range []string{
		"", "/..//../x/%", "ftp://h/", "https://", "https:///x", "https://h/?x", "https://h/#x", "h:", "h:x", "h:99999", "h?x", "h#x", "a b", "*.h", "-h",
		"https://user:s3cret@h/", "https://s3cret@h/", "ssh://git:s3cret@h/", "user:s3cret@h", "ext::sh", "https://h/a/../b", "https://h/a%2fb", "file://h/x", "git@h", "@h:x",
		"https://h:0/", "https://h:99999/x", "https://*.h/", "[::1", "https://h/a\nb",
	} {
		p, err := ParsePattern(raw)
		if raw == "/..//../x/%" {
			if err != nil || p.path != "/x/%" {
				t.Errorf("%q: %+v, %v", raw, p, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%q is taken as %+v", raw, p)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error shows the password: %v", raw, err)
		}
	}
}

// FuzzPolicy: every allowed origin is where the pattern says, also for a server that decodes
// and cleans paths.
func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"https://h/team/x", "https://h/team/%2e%2e/x", "https://h.evil/team/x", "https://h@evil/team/", "git@h:team", "https://h/team/..;/"} {
		f.Add(s)
	}
	set := Policy{Local: true, Patterns: patterns(f, "https://h/team/")}
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := Parse(raw, true)
		if err != nil || set.Check(o) != nil {
			return
		}
		u, err := url.Parse(o.url)
		if err != nil || u.Scheme != "https" || u.Host != "h" {
			t.Fatalf("%q reaches git as %q", raw, o.url)
		}
		for p, n := u.EscapedPath(), 0; n < 5; n++ {
			if clean := path.Clean(strings.ReplaceAll(p, `\`, "/")); n > 0 && clean != "/team" && !strings.HasPrefix(clean, "/team/") {
				t.Fatalf("%q leads to %q", raw, clean)
			}
			if p, err = url.PathUnescape(p); err != nil {
				break
			}
		}
	})
}
