package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/protocol"
)

// TestMain takes away what is said to the tests of package tests (SOULD_ROOT): here it would be a key
// of the configuration.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, VariablePrefix) {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sould.conf")
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, 0o644)); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

func TestConfigOfAFile(t *testing.T) {
	c, source, err := LoadConfig(writeConfig(t, `
listen = ":80"          # all addresses
storage = "/srv/git"
master = true
slaves = ["a", "b:8080", "https://c"]
timeout = 1500
patience = "90s"
refs = [
	"refs/heads/release/*",
	"refs/pull/*/head",
]
cache_size = 4096
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":80" || c.Storage != "/srv/git" || !c.Master || c.Timeout != 1500*time.Millisecond ||
		c.Patience != 90*time.Second || c.CacheSize != 4096 || len(c.Refs) != 2 || c.Retry != 5*time.Second {
		t.Errorf("got %+v from %s", c, source)
	}
	var urls []string
	for _, s := range c.Slaves {
		urls = append(urls, s.URL())
	}
	if got := strings.Join(urls, " "); got != "http://a http://b:8080 https://c" {
		t.Errorf("slaves %q", got)
	}
}

func TestConfigSaysEverythingThatIsWrong(t *testing.T) {
	path := writeConfig(t, `# line 1
listen = "nonsense"
text = """
timeout = 1
"""

timeout = "20 parsecs"
max_fetches = 0
slaves = [
  "ok", "OK:80",
  "user:secret@host",
]
fetch-timeout = 5
master = "yes"
refs = []
storage = 7
cache_size = "-1"
list_timeout = "2h"
[server]
x = 1
lisen = ":80"
`)
	_, _, err := LoadConfig(path)
	if err == nil {
		t.Fatal("taken")
	}
	if strings.Contains(err.Error(), "secret") {
		t.Error("the error shows a password")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{
		":2: listen: ", ":3: text: unknown key", ":7: timeout: ", ":8: max_fetches: ", ":9: slaves: \"OK:80\" is listed twice", ":9: slaves: a server's address takes no user",
		":13: fetch-timeout: unknown key; did you mean fetch_timeout?", ":14: master: must be true or false, not a string",
		":15: refs: ", ":16: storage: must be a string, not a whole number", ":17: cache_size: ",
		":18: list_timeout: 2h is longer than fetch_timeout (10m)", ":19: server: there is no such table: remove [server], and write its keys by themselves at the top: lisen (did you mean listen?), x",
	}
	if len(lines) != len(want) {
		t.Errorf("%d errors, want %d:\n%s", len(lines), len(want), err)
	}
	for i, line := range lines {
		if i < len(want) && !strings.HasPrefix(line, path+want[i]) {
			t.Errorf("error %d is %q, want …%s", i, line, want[i])
		}
	}
}

// TestConfigPathsOfAShell: nobody but a shell puts a home directory in the place of a ~.
func TestConfigPathsOfAShell(t *testing.T) {
	for key, text := range map[string]string{
		"1: storage":                `storage = "~/x"`,
		"1: ca_file":                `ca_file = "~me/x"`,
		"1: token_file":             `token_file = "~"`,
		"1: read_token_file":        `read_token_file = "~/x"`,
		"1: tls_cert":               "tls_cert = \"~/x\"\ntls_key = \"/etc/key\"",
		"2: tls_key":                "tls_cert = \"/etc/cert\"\ntls_key = \"~/x\"",
		"1: tls_ca":                 `tls_ca = "~/x"`,
		"1: notify_secret_file":     `notify_secret_file = "~/x"`,
		"3: hook[1].secret_file":    "[[hook]]\nforge = \"gitea\"\nsecret_file = \"~/x\"",
		"4: discover[1].token_file": "[[discover]]\nforge = \"github\"\nall = true\ntoken_file = \"~/x\"",
	} {
		path := writeConfig(t, text)
		_, _, err := LoadConfig(path)
		if err == nil || !strings.HasPrefix(err.Error(), path+":"+key+`: "~`) || !strings.HasSuffix(err.Error(), "write the path in full") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", key, err)
		}
	}
	t.Setenv("SOULD_STORAGE", "~/x")
	if _, _, err := LoadConfig(writeConfig(t, "")); err == nil || !strings.HasPrefix(err.Error(), `SOULD_STORAGE: "~/x" begins with a ~`) {
		t.Errorf("as a variable: %v", err)
	}
	t.Setenv("SOULD_STORAGE", "./~/x")
	if _, _, err := LoadConfig(writeConfig(t, "")); err != nil {
		t.Error(err)
	}
}

func TestAListWithABadItemIsNotCalledEmpty(t *testing.T) {
	_, _, err := LoadConfig(writeConfig(t, `refs = ["*"]`))
	if err == nil || strings.Contains(err.Error(), "empty") || !strings.Contains(err.Error(), "not a pattern") {
		t.Error(err)
	}
}

func TestConfigSyntaxErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"listen = \n":                    ":1: listen: ",
		"a = 1\n\nmaster = true\nx y":    ":4: ",
		"master = true\nmaster = false":  ":2: ",
		"timeout = 99999999999999999999": ":1: timeout: ",
		"listen = \"\xff\"":              ":1: ",
	} {
		path := writeConfig(t, text)
		_, _, err := LoadConfig(path)
		if err == nil || !strings.HasPrefix(err.Error(), path+want) {
			t.Errorf("%q: %v, want …%s", text, err, want)
		}
	}
}

func TestConfigFileThatIsNone(t *testing.T) {
	if _, _, err := LoadConfig(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a named file that does not exist is taken")
	}
	if _, _, err := LoadConfig(writeConfig(t, strings.Repeat("#", access.MaxFile+1))); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("a huge file: %v", err)
	}
	if _, _, err := LoadConfig(t.TempDir()); err == nil {
		t.Error("a directory is taken")
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadConfig(pipe); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe into which nobody writes: %v", err)
	}
}

// TestExampleIsTheManual reads the shipped example: it must be a valid file, name
// every key, and give each the value that it has without it.
func TestExampleIsTheManual(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "/var/lib/sould")
	text, err := os.ReadFile("sould.conf.example")
	if err != nil {
		t.Fatal(err)
	}
	var uncommented strings.Builder
	for line := range strings.Lines(string(text)) {
		if key, _, ok := strings.Cut(strings.TrimPrefix(line, "#"), " = "); (ok || strings.HasPrefix(key, "[")) && line[0] == '#' && !strings.Contains(key, " ") {
			line = line[1:]
		}
		uncommented.WriteString(line)
	}
	keys, tables, _ := strings.Cut(uncommented.String(), "\n[") // tables have no defaults: they show what one may be
	readable := regexp.MustCompile(`"/etc/sould/[^"]*"`).ReplaceAllString(uncommented.String(), fmt.Sprintf("%q", writeConfig(t, testToken)))
	whole, _, err := LoadConfig(writeConfig(t, readable))
	if err != nil || len(whole.OnDemand) == 0 || len(whole.Hooks) == 0 || len(whole.Discover) == 0 {
		t.Errorf("with its tables: %v", err)
	}
	c, _, err := LoadConfig(writeConfig(t, keys))
	if err != nil {
		t.Fatal(err)
	}
	defaults := defaultConfig()
	defaults.MaxFetches, defaults.MaxArchives = c.MaxFetches, c.MaxArchives // depend on the machine
	if c.Show() != defaults.Show() {
		t.Errorf("the example sets\n%s\nthe defaults are\n%s", c.Show(), defaults.Show())
	}
	for _, k := range configKeys {
		if !k.IsTable() && !strings.Contains(keys, "\n"+k.Name+" = ") || k.IsTable() && !strings.Contains("["+tables, "["+k.Name+"]") {
			t.Errorf("%s is not in the example", k.Name)
		}
	}
	for _, k := range configKeys {
		_, table, _ := strings.Cut("\n["+tables, "\n[["+k.Name+"]]")
		table, _, _ = strings.Cut(table, "\n[")
		for _, inside := range k.Inside() {
			if !strings.Contains(table, "\n"+inside+" = ") {
				t.Errorf("%s of [[%s]] is not in the example", inside, k.Name)
			}
		}
	}
	fresh := defaultConfig()
	if c, _, err = LoadConfig("sould.conf.example"); err != nil || c.Show() != fresh.Show() {
		t.Errorf("as it is shipped, it changes something: %v", err)
	}
}

func TestOnDemandTables(t *testing.T) {
	const table = "[[ondemand]]\nprefix = 'github.com/'\norigin = 'https://github.com/{path}'\n"
	for text, want := range map[string]string{
		table: "", table + "max_age = '0'\nquota = '200GiB'\nidle = '30d'\n": "",
		"origins = ['https://github.com/acme/']\n" + table: "",
		"origins = ['git.in.local']\n" + table:             ":4: ondemand[1].origin: origins does not name",
		"[[ondemand]]\n":                                   ":1: ondemand[1]: prefix is missing",
		"[[ondemand]]\nprefix = 'a'\n":                     ":1: ondemand[1]: origin is missing",
		table + table:                                      `:5: ondemand[2].prefix: "github.com/" is also the prefix of ondemand[1]`,
		table + "quota = '1GiB'\nmax_size = '2GiB'":        ":1: ondemand[1]: max_size is more than quota",
		table + "poll = '1s'":                              "",
		table + "poll = '999ms'":                           ":4: ondemand[1].poll: 999ms is too short: write 1s or longer, or 0 for never",
		"poll = '1ms'\n" + table:                           ":1: poll: 1ms is too short",
		"[[ondemand]]\nprefix = 'a'\norigin = 'git@h:{path}'\ndeny_private = true": ":1: ondemand[1]: deny_private needs an origin over https or http",
		table + "max_age = '-1s'":                              ":4: ondemand[1].max_age: ",
		"[[ondemand]]\nprefix = 'x/a'\n":                       ":2: ondemand[1].prefix: no mirror's name begins so",
		"[[ondemand]]\norigin = 'https://j:s3cr3t@h/{path}'\n": ":2: ondemand[1].origin: has a user or a password",
	} {
		_, _, err := LoadConfig(writeConfig(t, text))
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t")) {
			t.Errorf("%s\n%v, want %q", text, err, want)
		}
	}
	c, _, err := LoadConfig(writeConfig(t, "first_patience = '3s'\n"+table+table[:len("[[ondemand]]\n")]+"prefix = 'b'\norigin = 'https://b/{path}'\nfirst_patience = '0'\n"))
	if err != nil || len(c.OnDemand) != 2 || c.OnDemand[0].FirstPatience != 3*time.Second || c.OnDemand[1].FirstPatience != 0 {
		t.Errorf("first_patience of two tables: %+v, %v", c.OnDemand, err)
	}
}

func TestShownSettingsCanBeReadBack(t *testing.T) {
	c := defaultConfig()
	c.Storage = "/a \"b\"\\c\x01"
	slave, err := protocol.ParseAddress("a")
	if err != nil {
		t.Fatal(err)
	}
	c.Slaves = []protocol.Address{slave}
	c.FetchTimeout, c.ListTimeout = 5*time.Second, 5*time.Second
	again, _, err := LoadConfig(writeConfig(t, c.Show()))
	if err != nil || again.Show() != c.Show() {
		t.Errorf("%v\n%s\n%s", err, c.Show(), again.Show())
	}
}

// TestVariablesAreCheckedLikeTheFile also where one key depends on another, and a file of a secret is
// read that a variable names.
func TestVariablesAreCheckedLikeTheFile(t *testing.T) {
	file := writeConfig(t, "storage = \"/x\"\nlist_timeout = \"5s\"\n")
	t.Setenv("SOULD_FETCH_TIMEOUT", "20s")
	t.Setenv("SOULD_TOKEN_FILE", writeConfig(t, testToken+"\n"))
	c, _, err := LoadConfig(file)
	if err != nil || c.FetchTimeout != 20*time.Second || string(c.Token) != testToken {
		t.Errorf("%v\n%s", err, c.ShowWithSources())
	}
	t.Setenv("SOULD_LIST_TIMEOUT", "21000")
	if _, _, err := LoadConfig(file); err == nil || err.Error() != "SOULD_LIST_TIMEOUT: 21s is longer than fetch_timeout (20s)" {
		t.Error(err)
	}
	t.Setenv("SOULD_LIST_TIMEOUT", "")
	t.Setenv("SOULD_FETCH_TIMEOUT", "4s")
	if _, _, err := LoadConfig(file); err == nil || err.Error() != file+":2: list_timeout: 5s is longer than fetch_timeout (4s)" {
		t.Error(err)
	}
}

func TestListTimeoutIsWithinFetchTimeout(t *testing.T) {
	c, _, err := LoadConfig(writeConfig(t, "storage = \"/x\"\nfetch_timeout = \"5s\""))
	if err != nil || c.ListTimeout != 5*time.Second {
		t.Errorf("%s, %v", c.ListTimeout, err)
	}
}

func TestDefaultStorage(t *testing.T) {
	for _, name := range []string{"STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"} {
		t.Setenv(name, "")
	}
	if got := defaultStorage(); got != "" {
		t.Errorf("without anything: %q", got)
	}
	if _, _, err := LoadConfig(writeConfig(t, "")); err == nil || !strings.Contains(err.Error(), "storage") {
		t.Errorf("without anything: %v", err)
	}
	for _, c := range []struct{ name, value, want string }{
		{"HOME", "/home/x", "/home/x/.local/state/sould"},
		{"XDG_STATE_HOME", "relative", "/home/x/.local/state/sould"},
		{"XDG_STATE_HOME", "/state", "/state/sould"},
		{"STATE_DIRECTORY", "/var/lib/sould:/other", "/var/lib/sould"},
	} {
		t.Setenv(c.name, c.value)
		if got := defaultStorage(); got != c.want {
			t.Errorf("%s=%s: %q, want %q", c.name, c.value, got, c.want)
		}
	}
}

func TestPublicURL(t *testing.T) {
	c, _, err := LoadConfig(writeConfig(t, `public_url = "https://Sould.Local:443/"`))
	if err != nil || !strings.Contains(c.Show(), "\npublic_url = \"https://sould.local\"\n") {
		t.Errorf("%v\n%s", err, c.Show())
	}
	for text, want := range map[string]string{
		`public_url = "https://sould.local/git"`: ":1: public_url: it has a path",
		`public_url = "sould.local"`:             ":1: public_url: it is no absolute URL",
		`public_url = 1`:                         ":1: public_url: must be a string",
	} {
		if _, _, err := LoadConfig(writeConfig(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s", text, err, want)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, s := range []string{"listen = \":80\"", "slaves = [\"a\"]\n[x]\ny=1", "a = \"\"\"\n", "timeout = 1979-05-27", "refs = [[1]]", "a.b = 1\nmaster = 1",
		"token = \"0123456789abcdef\"\norigins = [\"https://h/x/\", \"git@h:x\", \"::1\"]\nallow_hosts = [\"[::1]\", \"H.\"]\npublic_url = \"HTTPS://H:443/\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := defaultConfig()
		if err := c.parse("f", text, nil); err != nil {
			if !strings.HasPrefix(err.Error(), "f") {
				t.Errorf("%q: the error names no file: %v", text, err)
			}
			return
		}
		c.Token, c.ReadToken = "", "" // they are shown as what they are not
		again := defaultConfig()
		if err := again.parse("f", c.Show(), nil); err != nil || again.Show() != c.Show() {
			t.Errorf("%q is shown as\n%s\nwhich reads as\n%s%v", text, c.Show(), again.Show(), err)
		}
	})
}

func TestAddressesToListenOn(t *testing.T) {
	for address, want := range map[string]string{
		":80": "", "127.0.0.1:0": "", "localhost:8080": "", "[::1]:80": "", "[fe80::1%eth0]:http": "", "0.0.0.0:65535": "", "Git-1.in.local:80": "",
		"8080": "is not an address: write host:port", "a:b:1": "is not an address", "": "is not an address",
		"127.0.0.1:": "no valid port", ":65536": "no valid port: write a number from 0 to 65535", ":nonsense": "no valid port",
		"999.1.1.1:80": `"999.1.1.1" is neither a host name nor an IP address`, "1.2.3:80": "neither", "[::x]:80": "neither",
		"my server:80": "neither", "http://h:80": "is not an address",
	} {
		_, _, err := LoadConfig(writeConfig(t, "storage = '/x'\nlisten = '"+address+"'"))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", address, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), ":2: listen: ") || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want …%s", address, err, want)
		}
	}
}

// TestCheckOfAStart: what a start would stumble over is found, and nothing is made.
func TestCheckOfAStart(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ text, want string }{
		"none yet":          {`storage = "` + dir + `/a/b"`, ""},
		"a directory":       {`storage = "` + dir + `"`, ""},
		"a file":            {"#\nstorage = \"" + file + `"`, ":2: storage: " + file + " is a file: write the name of a directory"},
		"in a file":         {`storage = "` + file + `/a/b"`, ":1: storage: something above " + file + "/a/b is a file"},
		"not to be written": {`storage = "` + closed + `/a"`, ":1: storage: " + closed + " cannot be written by this user (permission denied)"},
		"no such name":      {"storage = \"" + dir + "\"\nlisten = \"no-such-name.invalid:80\"", `:2: listen: the name "no-such-name.invalid" has no address`},
	} {
		_, _, err := LoadConfig(writeConfig(t, c.text), checkStart)
		if what == "not to be written" && os.Getuid() == 0 {
			continue // root may
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want …%s", what, err, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
		t.Error("a check has made a directory")
	}
	missing := filepath.Join(dir, "missing.conf")
	if _, _, err := LoadConfig(missing); err == nil || !strings.HasPrefix(err.Error(), "there is no configuration file "+missing) {
		t.Errorf("got %v", err)
	}
}

func TestDurationsAreShownAsPeopleWriteThem(t *testing.T) {
	c, _, err := LoadConfig(writeConfig(t, "storage = '/x'\nkeep = '2w'\ncheck = '30d'\nfetch_timeout = '1h'"))
	if err != nil || c.Keep != 14*24*time.Hour {
		t.Fatal(c.Keep, err)
	}
	for _, line := range []string{`keep = "14d"`, `check = "30d"`, `fetch_timeout = "1h"`, `timeout = "20s"`} {
		if !strings.Contains(c.Show(), "\n"+line+"\n") {
			t.Errorf("no %s in\n%s", line, c.Show())
		}
	}
}
