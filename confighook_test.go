package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestHooks(t *testing.T) {
	const secret = "the-secret-of-the-hook"
	file := fmt.Sprintf("secret_file = %q\n", writeConfig(t, secret+"\n"))
	weak, odd := writeConfig(t, "short"), writeConfig(t, "a secret of three lines\n\n")
	github := "[[hook]]\nforge = 'github'\n" + file
	for text, want := range map[string]string{
		github: "",
		github + "[[hook]]\nname = 'other'\nforge = 'github'\nurl = 'https://git.in.local/git/'\n" + file: "",
		github + github:                  `:4: hook[2]: another hook has the name "github"`,
		"[[hook]]\n":                     ":1: hook[1]: lacks forge",
		"[[hook]]\nforge = 'gitlab'\n":   ":1: hook[1]: lacks secret_file",
		"[[hook]]\nforge = 'gitbub'\n":   `:2: hook[1].forge: "gitbub" is no forge that is known`,
		github + "name = 'a/b'\n":        ":4: hook[1].name: must have letters",
		github + "url = 'ssh://git@h'\n": ":4: hook[1].url: must be the forge's own URL",
		github + "create = 1\n":          ":4: hook[1].create: must be true or false",
		github + "create = true\n":       ":4: hook[1].create: there is no [[ondemand]]",
		github + "create = true\n[[ondemand]]\nprefix = 'a'\norigin = 'https://h/{path}'\n": "",
		github + "secret = 'x'\n":                                       ":4: hook[1].secret: unknown key",
		"[[hook]]\nforge = 'github'\nsecret_file = '" + weak + "'\n":    "",
		"[[hook]]\nforge = 'github'\nsecret_file = '" + odd + "'\n":     ":3: hook[1].secret_file: " + odd + ": it must be one line",
		"[[hook]]\nforge = 'github'\nsecret_file = '/does/not/exist'\n": ":3: hook[1].secret_file: open",
		strings.Repeat(github, 101):                                     "there are 101 hooks",
	} {
		c, _, err := LoadConfig(writeConfig(t, text))
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "short")) {
			t.Errorf("%.200s\n%v, want %q", text, err, want)
		}
		if warned := strings.Contains(strings.Join(c.Warnings(""), "\n"), "can be guessed"); err == nil && warned != strings.Contains(text, weak) {
			t.Errorf("%s\na warning of a weak secret: %v", text, warned)
		}
		shown := c.Show()
		if strings.Contains(shown, secret) {
			t.Errorf("the secret is shown:\n%s", shown)
		}
		if want == "" {
			again, _, err := LoadConfig(writeConfig(t, shown))
			if err != nil || again.Show() != shown {
				t.Errorf("%v\n%s\n%s", err, shown, again.Show())
			}
		}
	}
}
