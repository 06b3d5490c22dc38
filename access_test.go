package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	testToken     = "the-token-of-the-cluster"
	testReadToken = "the-token-for-reading"
)

func TestNeedOf(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         need
	}{
		{"POST", "/", needCommand}, {"POST", "//", needCommand}, {"POST", "", needCommand}, {"POST", "/a", needCommand},
		{"DELETE", "/a", needCommand}, {"PUT", "/x/health", needCommand}, {"POST", "/x/health", needCommand}, {"get", "/a", needCommand},
		{"POST", "/a/git-receive-pack", needCommand}, {"POST", "/a/git-upload-pack/", needCommand},
		{"POST", "/a/git-upload-pack", needRead}, {"GET", "/a/info/refs", needRead},
		{"GET", "/a", needRead}, {"HEAD", "/a", needRead}, {"GET", "/", needRead}, {"GET", "/x/status", needRead}, {"GET", "/x/metrics", needRead},
		{"GET", "/x/health", needNothing}, {"HEAD", "/x/health", needNothing}, {"GET", "/x/health/x", needRead}, {"GET", "/x/healthy", needRead},
	} {
		if got := needOf(c.method, c.path); got != c.want {
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
		what          need
		authorization string
		want          int // status; 0 for permitted
	}{
		{open, needCommand, "", 0}, {open, needRead, "", 0}, {open, needCommand, "Bearer what-ever-this-may-be", 0},
		{token, needRead, "", 0}, {token, needNothing, "", 0}, {token, needRead, "Bearer wrong-token-wrong-token", 0},

		{token, needCommand, "", 401}, {token, needCommand, "Bearer", 401}, {token, needCommand, "Bearer ", 401},
		{token, needCommand, "Bearer " + testToken, 0}, {token, needCommand, "bearer  " + testToken + " ", 0},
		{token, needCommand, "Bearer " + testToken + "x", 401}, {token, needCommand, "Bearer " + testToken[:20], 401},
		{token, needCommand, "Bearer " + strings.ToUpper(testToken), 401}, {token, needCommand, testToken, 401},
		{token, needCommand, "Token " + testToken, 401}, {token, needCommand, basic(testToken), 401},
		{token, needCommand, "Bearer ***", 401}, {both, needCommand, "Bearer " + testReadToken, 401},

		{both, needRead, "", 401}, {both, needRead, "Bearer wrong", 401}, {both, needRead, basic("wrong"), 401}, {both, needRead, "Basic !!!", 401},
		{both, needRead, "Bearer " + testReadToken, 0}, {both, needRead, basic(testReadToken), 0},
		{both, needRead, "Bearer " + testToken, 0}, {both, needRead, basic(testToken), 0}, {both, needNothing, "", 0},
		{both, needRead, "Basic " + testReadToken, 401},
		{read, needRead, "", 401}, {read, needRead, basic(""), 401}, {read, needRead, "Bearer " + testReadToken, 0}, {read, needCommand, "", 0},
	} {
		set := &settings{}
		if c.configured&token != 0 {
			set.Token = testToken
		}
		if c.configured&read != 0 {
			set.ReadToken = testReadToken
		}
		err := permit(set, c.what, "h", http.Header{"Authorization": {c.authorization}})
		got := 0
		if err != nil {
			got = status(err)
		}
		if got != c.want {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil && (strings.Contains(err.Error(), testToken) || strings.Contains(err.Error(), testReadToken) || len(err.Error()) < 20) {
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
		err := permit(&settings{Config: Config{AllowHosts: allowed}}, needNothing, header, nil)
		if (err == nil) != want || err != nil && status(err) != http.StatusMisdirectedRequest {
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
		token, read  secret
		method, path string
		want         string
	}{
		{"", "", "POST", "/", ""}, {testToken, "", "POST", "/", testToken}, {testToken, testReadToken, "POST", "/", testToken},
		{"", testReadToken, "POST", "/", ""}, {"", testReadToken, "DELETE", "/m", ""}, {"", testReadToken, "GET", "/x/status", testReadToken},
		{testToken, testReadToken, "GET", "/x/status", testToken}, {testToken, "", "DELETE", "/m", testToken},
	} {
		r, err := http.NewRequest(c.method, "http://h"+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		set := &settings{Config: Config{Token: c.token, ReadToken: c.read}}
		set.authorize(r)
		if got := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); got != c.want {
			t.Errorf("%+v: sent %q", c, got)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	c := defaultConfig()
	c.Token, c.ReadToken = testToken, testReadToken
	encoded, err := json.Marshal(map[string]any{"token": c.Token, "config": struct{ Token secret }{c.Token}})
	if err != nil {
		t.Fatal(err)
	}
	set := &settings{Config: c}
	for _, text := range []string{c.Show(), fmt.Sprint(c), fmt.Sprintf("%+v %#v %q %s", c, c, c.Token, c.Token), string(encoded), fmt.Sprintf("%+v", *set)} {
		if strings.Contains(text, testToken) || strings.Contains(text, testReadToken) {
			t.Errorf("shown in %s", text)
		}
	}
	if !strings.Contains(c.Show(), "\ntoken = \"***\"\n") {
		t.Errorf("not masked in\n%s", c.Show())
	}
	if _, _, err := LoadConfig(writeConfig(t, c.Show())); err == nil || !strings.Contains(err.Error(), "--check shows") {
		t.Errorf("what --check shows is taken: %v", err)
	}
}

func TestConfigOfTokens(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file(testToken + "\n")
	for _, c := range []struct {
		text  string
		token secret
		wrong string // part of the error
	}{
		{`token = "` + testToken + `"`, testToken, ""},
		{`token = ""`, "", ""},
		{`token_file = "` + good + `"`, testToken, ""},
		{`token_file = "` + file(testToken) + `"`, testToken, ""},
		{`token_file = "` + file(testToken+"\r\n") + `"`, testToken, ""},
		{`token_file = "` + file("") + `"`, "", ":1: token_file: "}, {`token_file = "` + file("\n") + `"`, "", "is empty"},
		{`token_file = "` + file(testToken+"\nmore\n") + `"`, "", "and nothing else"}, {`token_file = "` + file("too-short\n") + `"`, "", "too weak"},
		{`token_file = "/nonexistent"`, "", ":1: token_file: "}, {`token_file = "/dev/zero"`, "", "no regular file"},
		{`token_file = "` + file(strings.Repeat("x", 2000)) + `"`, "", "1024 at most"},
		{`token = "15-characters.."`, "", ":1: token: too weak: it has 15"}, {`token = "with a space in it"`, "", "and nothing else"},
		{`token = "with-ümlaut-in-it-"`, "", "and nothing else"}, {`token = 'with-"quotes"-in-it'`, "", "and nothing else"}, {`token = 12345678901234567`, "", "must be a string"},
		{"token = \"" + testToken + "\"\ntoken_file = \"" + good + "\"", "", ":2: token_file: token is there as well"},
		{"token = \"" + testToken + "\"\nread_token = \"" + testToken + "\"", "", ":2: read_token: it is the same as token"},
		{"token_file = \"" + good + "\"\nread_token_file = \"" + good + "\"", "", ":2: read_token_file: it is the same as token"},

		// What stands in a line about a token is not repeated.
		{`token = true` + testToken, "", ":1: token: is no string"}, {`read_token = 99999999999999999999`, "", ":1: token: is no string"},
		{` token."` + testToken + `" = `, "", "is no string"},
		{"token = [\n " + testToken + "\n]", "", ":2: token: is no string"}, {"token = [\n \"a\",\n {x = " + testToken + "}]", "", ":3: token: is no string"},
		{"\ufefftoken = " + testToken, "", ":1: token: is no string"}, {"Read_Token = " + testToken, "", ":1: token: is no string"},
		{"x = {token = " + testToken + "}", "", ":1: token: is no string"}, {"access.token = " + testToken, "", ":1: token: is no string"},
	} {
		config, _, err := LoadConfig(writeConfig(t, c.text))
		switch {
		case err == nil && (c.wrong != "" || config.Token != c.token):
			t.Errorf("%s: taken as %q", c.text, string(config.Token))
		case err != nil && (c.wrong == "" || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: %v, want …%s", c.text, err, c.wrong)
		case err != nil && (strings.Contains(err.Error(), testToken) || strings.Contains(err.Error(), "9999")):
			t.Errorf("%s: the token is in %v", c.text, err)
		}
		if strings.Contains(config.Show(), testToken) {
			t.Errorf("%s: shown in\n%s", c.text, config.Show())
		}
	}
}

func TestDoubts(t *testing.T) {
	path := writeConfig(t, `token = "`+testToken+`"`)
	for mode, want := range map[os.FileMode]int{0o644: 1, 0o604: 1, 0o640: 0, 0o600: 0} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		c, source, err := LoadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		if doubts := c.Doubts(source); len(doubts) != want || want == 1 && !strings.Contains(doubts[0], path+" holds a secret") {
			t.Errorf("mode %o: %q", mode, doubts)
		}
		c.TokenFile = writeConfig(t, "") // readable by others, unlike what the file itself need be
		if doubts := c.Doubts(source); len(doubts) != 1 || !strings.Contains(doubts[0], c.TokenFile) {
			t.Errorf("mode %o and a file: %q", mode, doubts)
		}
	}
	c := defaultConfig()
	if doubts := c.Doubts("built-in defaults"); len(doubts) != 1 || !strings.Contains(doubts[0], "everybody") {
		t.Errorf("without anything: %q", doubts)
	}
}

func TestConfigOfCertificates(t *testing.T) {
	junk := writeConfig(t, "junk")
	for text, want := range map[string]string{
		`tls_cert = "` + junk + `"`:                              ":1: tls_cert: tls_cert and tls_key need each other",
		`tls_key = "` + junk + `"`:                               ":1: tls_key: tls_cert and tls_key need each other",
		"tls_cert = \"/none\"\ntls_key = \"" + junk + `"`:        ":1: tls_cert: open /none",
		"tls_cert = \"" + junk + "\"\ntls_key = \"" + junk + `"`: "failed to find any PEM data",
		"tls_ca = \"" + junk + `"`:                               ":1: tls_ca: " + junk + " holds no certificate",
		"tls_ca = \"/dev/zero\"":                                 "no regular file",
	} {
		if _, _, err := LoadConfig(writeConfig(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s", text, err, want)
		}
	}
}
