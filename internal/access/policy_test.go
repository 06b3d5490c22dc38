package access

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

const (
	clusterToken = "the-token-of-the-cluster"
	readingToken = "the-token-for-reading"
)

func TestNeedOf(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         Need
	}{
		{"POST", "/", Command}, {"POST", "//", Command}, {"POST", "", Command}, {"POST", "/a", Command},
		{"DELETE", "/a", Command}, {"PUT", "/x/health", Command}, {"POST", "/x/health", Command}, {"get", "/a", Command},
		{"POST", "/a/git-receive-pack", Command}, {"POST", "/a/git-upload-pack/", Command},
		{"POST", "/a/git-upload-pack", Read}, {"GET", "/a/info/refs", Read},
		{"GET", "/a", Read}, {"HEAD", "/a", Read}, {"GET", "/", Read}, {"GET", "/x/status", Read}, {"GET", "/x/metrics", Read},
		{"GET", "/x/health", Nothing}, {"HEAD", "/x/health", Nothing}, {"GET", "/x/health/x", Read},
		{"GET", "/x/health/live", Nothing}, {"HEAD", "/x/health/ready", Nothing}, {"GET", "/x/health/ready/", Read}, {"POST", "/x/health/live", Command},
		{"POST", "/x/hook/github", Nothing}, {"POST", "//x/hook/github", Command}, {"POST", "/x/hook", Command}, {"GET", "/x/hook/github", Read},
		{"GET", "/x/metrics", Read}, {"HEAD", "/x/metrics", Read}, {"GET", "/x/healthy", Read},
	} {
		if got := NeedOf(c.method, c.path); got != c.want {
			t.Errorf("%s %s needs %d, want %d", c.method, c.path, got, c.want)
		}
	}
}

func TestPermit(t *testing.T) {
	const open, token, read, both = 0, 1, 2, 3
	basic := func(password string) string {
		r, _ := http.NewRequest("GET", "/", nil)
		r.SetBasicAuth("any", password)
		return r.Header.Get("Authorization")
	}
	for _, c := range []struct {
		configured    int
		what          Need
		authorization string
		want          int // status; 0 for permitted
	}{
		{open, Command, "", 0}, {open, Read, "", 0}, {open, Command, "Bearer what-ever-this-may-be", 0},
		{token, Read, "", 0}, {token, Nothing, "", 0}, {token, Read, "Bearer wrong-token-wrong-token", 0},

		{token, Command, "", 401}, {token, Command, "Bearer", 401}, {token, Command, "Bearer ", 401},
		{token, Command, "Bearer " + clusterToken, 0}, {token, Command, "bearer  " + clusterToken + " ", 0},
		{token, Command, "Bearer " + clusterToken + "x", 401}, {token, Command, "Bearer " + clusterToken[:20], 401},
		{token, Command, "Bearer " + strings.ToUpper(clusterToken), 401}, {token, Command, clusterToken, 401},
		{token, Command, "Token " + clusterToken, 401}, {token, Command, basic(clusterToken), 401},
		{token, Command, "Bearer ***", 401}, {both, Command, "Bearer " + readingToken, 401},

		{both, Read, "", 401}, {both, Read, "Bearer wrong", 401}, {both, Read, basic("wrong"), 401}, {both, Read, "Basic !!!", 401},
		{both, Read, "Bearer " + readingToken, 0}, {both, Read, basic(readingToken), 0},
		{both, Read, "Bearer " + clusterToken, 0}, {both, Read, basic(clusterToken), 0}, {both, Nothing, "", 0},
		{both, Read, "Basic " + readingToken, 401},
		{read, Read, "", 401}, {read, Read, basic(""), 401}, {read, Read, "Bearer " + readingToken, 0}, {read, Command, "", 0},
	} {
		var p Policy
		if c.configured&token != 0 {
			p.Token = clusterToken
		}
		if c.configured&read != 0 {
			p.ReadToken = readingToken
		}
		err := p.Permit(c.what, "h", http.Header{"Authorization": {c.authorization}})
		got := 0
		if refused := (*Refusal)(nil); errors.As(err, &refused) && !refused.WrongHost {
			got = 401
		}
		if err != nil && got == 0 {
			t.Errorf("%+v: refused with %v", c, err)
		}
		if got != c.want {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil && (strings.Contains(err.Error(), clusterToken) || strings.Contains(err.Error(), readingToken) || len(err.Error()) < 20) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestHosts(t *testing.T) {
	parse := func(raw ...string) (hosts []Host) {
		for _, s := range raw {
			h, err := ParseHost(s)
			if err != nil {
				t.Fatal(err)
			}
			hosts = append(hosts, h)
		}
		return hosts
	}
	allowed := parse("Sould.local", "::1", "[FE80::1]", "192.0.2.1")
	for header, want := range map[string]bool{
		"sould.local": true, "SOULD.LOCAL:8080": true, "sould.local.": true, "sould.local.:80": true, "[::1]": true, "[::1]:80": true,
		"[0:0:0:0:0:0:0:1]:80": true, "[fe80::1]": true, "192.0.2.1": true, "192.0.2.1:9": true,
		"": false, ":80": false, "evil.com": false, "sould.local.evil.com": false, "xsould.local": false, "sould.local@evil.com": false,
		"192.0.2.10": false, "[::2]": false, "sould.local, evil.com": false, "127.0.0.1": false,
	} {
		if isAllowedHost(allowed, header) != want {
			t.Errorf("%q: want %v", header, want)
		}
		if !isAllowedHost(nil, header) {
			t.Errorf("%q is refused though nothing is configured", header)
		}
		err := Policy{Hosts: allowed}.Permit(Nothing, header, nil)
		if refused := (*Refusal)(nil); (err == nil) != want || err != nil && !(errors.As(err, &refused) && refused.WrongHost) {
			t.Errorf("%q: %v", header, err)
		}
	}
	for _, raw := range []string{"", "h:80", "[::1]:80", "http://h", "h/x", "*", "-h", "a b"} {
		if h, err := ParseHost(raw); err == nil {
			t.Errorf("%q is taken as %q", raw, h)
		}
	}
}

func TestAuthorize(t *testing.T) {
	for _, c := range []struct {
		token, read  Secret
		method, path string
		want         string
	}{
		{"", "", "POST", "/", ""}, {clusterToken, "", "POST", "/", clusterToken}, {clusterToken, readingToken, "POST", "/", clusterToken},
		{"", readingToken, "POST", "/", ""}, {"", readingToken, "DELETE", "/m", ""}, {"", readingToken, "GET", "/x/status", readingToken},
		{clusterToken, readingToken, "GET", "/x/status", clusterToken}, {clusterToken, "", "DELETE", "/m", clusterToken},
	} {
		r, err := http.NewRequest(c.method, "http://h"+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		Policy{Token: c.token, ReadToken: c.read}.Authorize(r)
		if got := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); got != c.want {
			t.Errorf("%+v: sent %q", c, got)
		}
	}
}
