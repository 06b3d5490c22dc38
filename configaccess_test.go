package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/access"
)

const (
	testToken     = "the-token-of-the-cluster"
	testReadToken = "the-token-for-reading"
)

func TestSecretsAreNotShown(t *testing.T) {
	c := defaultConfig()
	c.Token, c.ReadToken = testToken, testReadToken
	encoded, err := json.Marshal(map[string]any{"token": c.Token, "config": struct{ Token access.Secret }{c.Token}})
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
		token access.Secret
		wrong string // part of the error
	}{
		{`token = "` + testToken + `"`, testToken, ""},
		{`token = ""`, "", ""},
		{`token_file = "` + good + `"`, testToken, ""},
		{`token_file = "` + file(testToken) + `"`, testToken, ""},
		{`token_file = "` + file(testToken+"\r\n") + `"`, testToken, ""},
		{`token_file = "` + file("") + `"`, "", ":1: token_file: "}, {`token_file = "` + file("\n") + `"`, "", "is empty"},
		{`token_file = "` + file(testToken+"\nmore\n") + `"`, "", "and nothing else"}, {`token_file = "` + file("too-short\n") + `"`, "", "too weak"},
		{`token_file = "/nonexistent"`, "", ":1: token_file: "}, {`token_file = "/dev/zero"`, "", "not a regular file"},
		{`token_file = "` + file(strings.Repeat("x", 2000)) + `"`, "", "1024 at most"},
		{`token = "15-characters.."`, "", ":1: token: too weak: it has 15"}, {`token = "with a space in it"`, "", "and nothing else"},
		{`token = "with-ümlaut-in-it-"`, "", "and nothing else"}, {`token = 'with-"quotes"-in-it'`, "", "and nothing else"}, {`token = 12345678901234567`, "", "must be a string"},
		{"token = \"" + testToken + "\"\ntoken_file = \"" + good + "\"", "", ":2: token_file: token is set as well"},
		{"token = \"" + testToken + "\"\nread_token = \"" + testToken + "\"", "", ":2: read_token: it is the same as token"},
		{"token_file = \"" + good + "\"\nread_token_file = \"" + good + "\"", "", ":2: read_token_file: it is the same as token"},

		// What stands in a line about a token is not repeated.
		{`token = true` + testToken, "", ":1: token: must be a string in quotes"}, {`read_token = 99999999999999999999`, "", ":1: token: must be a string in quotes"},
		{` token."` + testToken + `" = `, "", "must be a string in quotes"},
		{"token = [\n " + testToken + "\n]", "", ":2: token: must be a string in quotes"}, {"token = [\n \"a\",\n {x = " + testToken + "}]", "", ":3: token: must be a string in quotes"},
		{"\ufefftoken = " + testToken, "", ":1: token: must be a string in quotes"}, {"Read_Token = " + testToken, "", ":1: token: must be a string in quotes"},
		{"x = {token = " + testToken + "}", "", ":1: token: must be a string in quotes"}, {"access.token = " + testToken, "", ":1: token: must be a string in quotes"},
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

func TestWarnings(t *testing.T) {
	path := writeConfig(t, `token = "`+testToken+`"`)
	for mode, want := range map[os.FileMode]int{0o644: 1, 0o604: 1, 0o640: 0, 0o600: 0} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		c, source, err := LoadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		if warnings := c.Warnings(source); len(warnings) != want || want == 1 && !strings.Contains(warnings[0], path+" holds a secret") {
			t.Errorf("mode %o: %q", mode, warnings)
		}
		c.TokenFile = writeConfig(t, "") // readable by others, unlike what the file itself need be
		if warnings := c.Warnings(source); len(warnings) != 1 || !strings.Contains(warnings[0], c.TokenFile) {
			t.Errorf("mode %o and a file: %q", mode, warnings)
		}
	}
	for text, want := range map[string]string{
		"slaves = ['a']":                                          "slaves are named, but this server is not their master",
		"slaves = ['a']\nmaster = true":                           "",
		"listen = '192.0.2.1:80'":                                 "no interface of this machine has the address",
		"slaves = ['a']\nmaster = false":                          "set master = true, or remove slaves",
		"public_url = 'https://h'\nallow_hosts = ['a']":           "https://h (public_url), but allow_hosts does not name that host",
		"public_url = 'https://H:8443'\nallow_hosts = ['a', 'h']": "",
		"public_url = 'https://h'":                                "",
		"allow_hosts = ['a']":                                     "",
	} {
		c, source, err := LoadConfig(writeConfig(t, text))
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Join(c.Warnings(source), "\n"); want != "" && !strings.Contains(said, want) || want == "" && (strings.Contains(said, "slaves") || strings.Contains(said, "public_url")) {
			t.Errorf("%s: %q", text, said)
		}
	}
	c := defaultConfig()
	if warnings := c.Warnings("built-in defaults"); len(warnings) != 1 || !strings.Contains(warnings[0], "everybody") {
		t.Errorf("without anything: %q", warnings)
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
		"tls_ca = \"/dev/zero\"":                                 "not a regular file",
	} {
		if _, _, err := LoadConfig(writeConfig(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s", text, err, want)
		}
	}
}
