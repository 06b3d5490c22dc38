package git

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

func TestNetrcPassword(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"machine git.local login alice password pw":                                                           "pw",
		"machine git.local login alice password \"a\\nb\"\nmachine x login y password z\n":                    "",
		"machine GIT.local\n  password pw\n  login alice\n":                                                   "pw",
		"machine git.local login alice account a password pw":                                                 "pw",
		"machine git.local login bob password b\nmachine git.local login alice password pw":                   "pw",
		"machine git.local login bob password b\ndefault login alice password pw":                             "pw",
		"default login alice password pw\nmachine git.local login alice password other":                       "pw",
		"machine git.local login bob password b":                                                              "",
		"machine git.local password pw":                                                                       "",
		"machine git.local login alice":                                                                       "",
		"machine git.local login alice machine git.local password pw":                                         "",
		"machine other.local login alice password pw":                                                         "",
		"machine git.local login Alice password pw":                                                           "",
		"# machine git.local login alice password no\nmachine git.local login alice password pw # x":          "pw",
		"macdef init\nmachine git.local login alice password no\n\nmachine git.local login alice password pw": "pw",
		"machine git.local macdef init\nlogin alice password no\n\nlogin alice password pw":                   "pw",
		`machine git.local login "alice" password "p \"w\\\t"`:                                                "",
		`machine git.local login "alice" password "p \"w\\"`:                                                  `p "w\`,
		`machine git.local login alice password "pw`:                                                          "",
		"machine git.local login alice password machine":                                                      "machine",
	} {
		if got := netrcPassword(text, "git.local", "alice"); got != want {
			t.Errorf("of %q comes %q, want %q", text, got, want)
		}
	}
}

func FuzzNetrc(f *testing.F) {
	f.Add(`machine h login u password "a\"b" # c` + "\nmacdef x\ny\n\ndefault login u password p")
	f.Fuzz(func(t *testing.T, text string) {
		_ = netrcPassword(text, "h", "u") // it terminates
	})
}

// TestUserWithoutPassword: git sends credentials only when the origin asks for them.
func TestUserWithoutPassword(t *testing.T) {
	home, root := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	origin.New(t, filepath.Join(root, "r.git")).Commit("main", nil)
	server := origin.ServeHTTP(t, root)
	g, remote := New(Options{}), Remote{URL: server.URL + "/r.git", User: `al"ice $HOME`}
	for _, c := range []struct {
		what, netrc, password string
		want                  bool
	}{
		{"a token", "", "", true},
		{"one that is completed", `machine 127.0.0.1 login "al\"ice $HOME" password "p'w \\n$(id)%s"`, `p'w \n$(id)%s`, true},
		{"one that is not", "machine 127.0.0.1 login bob password right", "right", false},
	} {
		server.Require(remote.User, c.password)
		if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte(c.netrc), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.List(t.Context(), remote); (err == nil) != c.want {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
