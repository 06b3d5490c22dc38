package tests

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// helper is a credential command. It writes down what it is asked, and gives what it is told to.
type helper struct {
	t    *testing.T
	dir  string
	path string
}

// newHelper makes a helper that runs these lines of shell when it is asked for credentials.
func newHelper(t *testing.T, lines ...string) *helper {
	t.Helper()
	h := &helper{t: t, dir: t.TempDir()}
	h.path = filepath.Join(h.dir, "token command")
	h.write("token command", "#!/bin/sh\nquestion=$(echo \"$*\"; cat)\nprintf '%s\\n\\n' \"$question\" >>\""+h.dir+"/asked\"\n"+
		"test \"$2\" = get || exit 0\n"+strings.Join(lines, "\n")+"\n", 0o700)
	return h
}

// newGiver makes a helper that gives what give says.
func newGiver(t *testing.T) *helper {
	h := newHelper(t)
	h.write("token command", strings.Replace(h.read("token command"), "exit 0\n", "exit 0\ncat '"+h.dir+"/answer'\n", 1), 0o700)
	return h
}

func (h *helper) write(name, text string, mode os.FileMode) {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		h.t.Fatal(err)
	}
}

func (h *helper) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(h.dir, name))
	return string(text)
}

// give has the helper give this user's password, and more lines, from now on.
func (h *helper) give(user, password string, more ...string) {
	h.t.Helper()
	h.write("answer", "username="+user+"\npassword="+password+"\n"+strings.Join(more, "\n"), 0o600)
}

// asked is what the helper was asked since the last call.
func (h *helper) asked() string {
	text := h.read("asked")
	_ = os.Remove(filepath.Join(h.dir, "asked"))
	return text
}

// conf is the table for a server. The command has a space in its path, and an argument.
func (h *helper) conf(server string) string {
	return fmt.Sprintf("[credential_command]\n%q = \"!'%s' --org=acme\"", server, h.path)
}

// question is what a helper is asked of a field.
func (f *field) question(operation string, more ...string) string {
	return "--org=acme " + operation + "\ncapability[]=authtype\nprotocol=http\nhost=" + strings.TrimPrefix(f.URL, "http://") +
		"\npath=r.git\n" + strings.Join(append(more, "\n"), "\n")
}

const firstToken, secondToken, thirdToken = "first-0f-tokens", "second-0f-tokens", "third-0f-tokens"

// startHelped starts a daemon that asks the helper for the field's credentials, and checks in the
// end that no secrets are in what it has said, nor in its command lines.
func startHelped(t *testing.T, f *field, h *helper, lines ...string) *daemon {
	d := startField(t, f, "machine 127.0.0.1 login bob password b0b-0f-netrc", append(lines, h.conf(f.URL))...)
	t.Cleanup(func() {
		said := []string{d.log.String(), d.get("/x/status?format=json").text(), d.get("/x/why/m").text(), d.get("/x/metrics").text()}
		f.mu.Lock()
		defer f.mu.Unlock()
		tellsNothing(t, []string{firstToken, secondToken, thirdToken, "b0b-0f-netrc"}, append(said, f.words...)...)
		for _, told := range f.told {
			if strings.Contains(told, "b0b") {
				t.Errorf("the origin was told what ~/.netrc says")
			}
		}
	})
	return d
}

// TestCredentialCommand: an origin whose password changes.
func TestCredentialCommand(t *testing.T) {
	t.Parallel()
	f, h := newField(t), newGiver(t)
	f.Require(fieldUser, firstToken)
	h.give(fieldUser, firstToken)
	d := startHelped(t, f, h)
	d.asked(f.URL+"/r.git", 200)
	f.served(t, d)
	if got, want := h.asked(), f.question("get"); got != want {
		t.Errorf("the command was asked\n%s, want\n%s", got, want)
	}
	if heard := f.heard(); len(heard) != 2 || !heard["-"] || !heard[fieldUser+":"+firstToken] {
		t.Errorf("the origin was told %v", heard)
	}

	// What is in memory is sent at once, and the command is not asked.
	f.repo.Commit("main", map[string]string{"f": "2"})
	d.asked(f.URL+"/r.git", 200, "1 ref")
	f.served(t, d)
	if heard, asked := f.heard(), h.asked(); asked != "" || len(heard) != 1 {
		t.Errorf("the command was asked\n%s\nthe origin was told %v", asked, heard)
	}

	// The list is refused.
	h.give(fieldUser, secondToken)
	f.Require(fieldUser, secondToken)
	f.repo.Commit("main", map[string]string{"f": "3"})
	d.asked(f.URL+"/r.git", 200, "1 ref")
	f.served(t, d)
	if got, want := h.asked(), f.question("erase", "username="+fieldUser, "password="+firstToken)+f.question("get"); got != want {
		t.Errorf("the command was asked\n%s, want\n%s", got, want)
	}

	// The transfer is refused, for the token expires between the list and that.
	h.give(fieldUser, thirdToken)
	f.repo.Commit("main", map[string]string{"f": "4"})
	lists := f.Lists.Load()
	f.Before(func(*http.Request) {
		if f.Lists.Load() > lists {
			f.Require(fieldUser, thirdToken)
		}
	})
	d.asked(f.URL+"/r.git", 200, "1 ref")
	f.served(t, d)
	if got, want := h.asked(), f.question("erase", "username="+fieldUser, "password="+secondToken)+f.question("get"); got != want {
		t.Errorf("the command was asked\n%s, want\n%s", got, want)
	}
	d.get("/x/metrics").contains(t, "sould_credential_commands_total{result=\"success\"} 3\n")
}

// TestCredentialCommandFails: each in words that name the server and the command's reason, and nothing
// that the command has printed.
func TestCredentialCommandFails(t *testing.T) {
	t.Parallel()
	give := "printf 'username=" + fieldUser + "\\npassword=" + firstToken + "\\n'"
	for what, c := range map[string]struct {
		command string
		want    string
		lines   []string
	}{
		"it fails":             {"echo \"cannot sign with " + firstToken + "; Authorization: Bearer abcd\" >&2; " + give + "; exit 3", "failed: exit status 3.\n", nil},
		"it is not there":      {"exit 127", "failed: exit status 127, as of a program that is not there.\n", nil},
		"it hangs":             {"sleep 1000", "failed: it has not answered yet", []string{`list_timeout = "4s"`}},
		"it prints a megabyte": {give + "; head -c 1000000 /dev/zero | tr '\\0' x; sleep 1000", "failed: it printed more than 64 KiB", nil},
		"it prints garbage":    {"echo '<html>" + firstToken + "'", "failed: it printed a line that is not key=value", nil},
		"it gives nothing":     {"exit 0", "failed: it gives no credentials for this repository", nil},
		"it gives what is old": {give + "; echo password_expiry_utc=1000000000", "failed: its answer has expired at 2001-09-09T01:46:40Z", nil},
		"it gives the same":    {give, "gives, and it gives the same again", nil},
		"it gives a wrong one": {"printf 'username=" + fieldUser + "\\npassword=" + firstToken + "%s\\n' $$", "gives, twice", nil},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newField(t)
			f.Require(fieldUser, secondToken)
			h := newHelper(t, c.command)
			d := startHelped(t, f, h, c.lines...)
			d.asked(f.URL+"/r.git", 500, "the credential command of "+f.URL)
			d.get("/x/why/m").contains(t, "the credential command of "+f.URL+" "+c.want)
		})
	}
}

// TestFailedCommandTellsReadersNothing: a first read fails because of a command, which says on both of its
// outputs what nobody may know. Whoever reads, POSTs, asks why, or reads the log learns only how it ended.
func TestFailedCommandTellsReadersNothing(t *testing.T) {
	t.Parallel()
	const secret = "key of the vault"
	f, h := newField(t), newHelper(t, "echo 'no "+secret+"' >&2", "echo '"+secret+"'", "exit 3")
	f.Require(fieldUser, firstToken)
	d := startHelped(t, f, h, "retry = '1h'", f.table())
	want, status := "the credential command of "+f.URL+" failed", "exit status 3"
	said := []answer{
		d.get("/o/r").expect(t, 502).contains(t, want, status),
		d.get("/o/r").expect(t, 502).contains(t, want, status), // it is remembered
		d.get("/o/r/info/refs?service=git-upload-pack", "Git-Protocol", "version=2").expect(t, 502),
		d.post("m", f.URL+"/r.git").expect(t, 500).contains(t, want, status),
		d.get("/x/why/o/r"), d.get("/x/why/m").contains(t, want, status), d.get("/x/status?format=json"),
		d.get("/", "Accept", "text/html"), d.get("/x/mirror/m", "Accept", "text/html"), d.get("/x/metrics"),
	}
	out, err := gitClient("2", "clone", d.url+"/o/r", t.TempDir())
	if err == nil {
		t.Error("a clone of nothing")
	}
	d.wait(want)
	for _, a := range said {
		tellsNothing(t, []string{secret}, a.text())
	}
	tellsNothing(t, []string{secret}, out, d.log.String())
}

// TestOriginsThatTell: an origin that says in its refusal with what it was asked.
func TestOriginsThatTell(t *testing.T) {
	t.Parallel()
	for what, how := range map[string]func(*testing.T, *field) *daemon{
		"of a command": func(t *testing.T, f *field) *daemon {
			h := newGiver(t)
			h.give(fieldUser, fieldPassword)
			return startField(t, f, "", "retry = 0", f.table(), h.conf(f.URL))
		},
		"of a .netrc": func(t *testing.T, f *field) *daemon {
			return startField(t, f, "machine 127.0.0.1 login "+fieldUser+" password "+fieldPassword, "retry = 0", f.table())
		},
		"of a .netrc that only git reads": func(t *testing.T, f *field) *daemon {
			return startField(t, f, "# mine\nmachine 127.0.0.1 login "+fieldUser+" password "+fieldPassword, "retry = 0", f.table())
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newField(t)
			for _, status := range []int{401, 403, 500} {
				f.Be(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
					user, password, ok := r.BasicAuth()
					w.Header().Set("Content-Type", "text/plain")
					if !ok {
						w.Header().Set("WWW-Authenticate", "Basic")
						w.WriteHeader(401)
						return
					}
					w.WriteHeader(status)
					fmt.Fprintln(w, "I know you:", user, password, r.Header.Get("Authorization"))
				})
				d := how(t, f)
				secrets := []string{fieldUser, fieldPassword, base64.StdEncoding.EncodeToString([]byte(fieldUser + ":" + fieldPassword))}
				read := d.get("/o/r")
				told := d.asked(f.URL+"/r.git", 500)
				tellsNothing(t, secrets, read.text(), told.text(), d.log.String(), d.get("/x/why/m").text(), d.get("/x/why/o/r").text())
				if read.StatusCode < 400 || !f.heard()[fieldUser+":"+fieldPassword] {
					t.Errorf("%d: %d, and the origin was not told", status, read.StatusCode)
				}
				if status == 403 && !strings.Contains(told.text(), "I know you: ***") {
					t.Errorf("the origin's words are not told:\n%s", told.text())
				}
			}
		})
	}
}

// table makes mirrors of a field below o/.
func (f *field) table() string {
	return fmt.Sprintf("[[ondemand]]\nprefix = 'o/'\norigin = '%s/{path}.git'", f.URL)
}

// TestCredentialCommandIsShared: by many mirrors of which it says that they have the same credentials.
func TestCredentialCommandIsShared(t *testing.T) {
	t.Parallel()
	f, h := newField(t), newGiver(t)
	f.Require(fieldUser, firstToken)
	h.give(fieldUser, firstToken, "path=/")
	d := startHelped(t, f, h)
	var all []<-chan answer
	for i := range 12 {
		all = append(all, d.posting(fmt.Sprint("m", i), f.URL+"/r.git"))
	}
	for _, one := range all {
		(<-one).expect(t, 200)
	}
	if asked := h.asked(); strings.Count(asked, " get\n") > 4 {
		t.Errorf("it was asked\n%s", asked)
	}
}

// TestCredentialCommandAndOthers: who else could be sent what a command gives, or gives something.
func TestCredentialCommandAndOthers(t *testing.T) {
	t.Parallel()
	for what, try := range map[string]func(*testing.T, *field, *helper){
		"a password in the URL comes first": func(t *testing.T, f *field, h *helper) {
			f.Require(fieldUser, secondToken)
			d := startHelped(t, f, h)
			d.asked(f.as(fieldUser+":"+secondToken, "/r.git"), 200)
			d.asked(f.URL+"/r.git", 200) // it is stored
			if asked := h.asked(); asked != "" {
				t.Errorf("the command was asked\n%s", asked)
			}
		},
		"a user in the URL is one to ask for": func(t *testing.T, f *field, h *helper) {
			f.Require(fieldUser, firstToken)
			h.write("answer", "password="+firstToken, 0o600)
			d := startHelped(t, f, h)
			d.asked(f.as(fieldUser, "/r.git"), 200)
			if got, want := h.asked(), f.question("get", "username="+fieldUser); got != want {
				t.Errorf("the command was asked\n%s", got)
			}
		},
		"everybody may read": func(t *testing.T, f *field, h *helper) {
			d := startHelped(t, f, h)
			d.asked(f.URL+"/r.git", 200)
			if asked := h.asked(); asked != "" {
				t.Errorf("the command was asked\n%s", asked)
			}
		},
		"a URL that git alone is asked for": func(t *testing.T, f *field, h *helper) {
			f.Require(fieldUser, firstToken)
			d := startHelped(t, f, h)
			d.asked(f.URL+"/x/../r.git", 200)
			f.served(t, d)
		},
		"a first read of what it has nothing for": func(t *testing.T, f *field, h *helper) {
			f.Require(fieldUser, secondToken)
			h.write("answer", "quit=1\n", 0o600)
			d := startHelped(t, f, h, f.table())
			d.get("/o/r").expect(t, 404).contains(t, "none that this server may read")
			d.wait("INFO not made: .*gives no credentials")
			h.give(fieldUser, secondToken)
			d.get("/o/r").expect(t, 404) // it is remembered
			d.do("POST", "/", strings.NewReader("name=o/r"), "Content-Type", formType).expect(t, 200)
			d.get("/o/r").expect(t, 200)
		},
		"a redirect to another server": func(t *testing.T, f *field, h *helper) {
			f.Require(fieldUser, firstToken)
			f.Be(origin.MovedTo("/r.git/", other(t).URL+"/r.git/"))
			d := startHelped(t, f, h)
			d.asked(f.URL+"/r.git", 500, "which is not followed")
		},
		"a redirect on the same server": func(t *testing.T, f *field, h *helper) {
			f.Require(fieldUser, firstToken)
			f.Be(origin.MovedTo("/r/", f.URL+"/r.git/"))
			d := startHelped(t, f, h)
			d.asked(f.URL+"/r", 200)
			f.served(t, d)
		},
		"a server that is not named": func(t *testing.T, f *field, h *helper) {
			f.Require(fieldUser, firstToken)
			d := startField(t, f, "", h.conf(strings.TrimPrefix(f.URL, "http://"))) // which means https
			d.asked(f.URL+"/r.git", 500, "wants a user and a password")
			if asked := h.asked(); asked != "" {
				t.Errorf("the command was asked\n%s", asked)
			}
		},
		"a scheme of its own": func(t *testing.T, f *field, h *helper) {
			h.write("answer", "capability[]=authtype\nauthtype=Bearer\ncredential="+firstToken+"\n", 0o600)
			f.Be(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
				if r.Header.Get("Authorization") != "Bearer "+firstToken {
					w.Header().Set("WWW-Authenticate", "Bearer")
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				git.ServeHTTP(w, r)
			})
			d := startHelped(t, f, h)
			d.asked(f.URL+"/r.git", 200)
			f.served(t, d)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newGiver(t)
			h.give(fieldUser, firstToken)
			try(t, newField(t), h)
		})
	}
}

// TestCredentialStore: git's own helper is asked as git asks it, and told to forget what was refused.
func TestCredentialStore(t *testing.T) {
	t.Parallel()
	f, dir := newField(t), t.TempDir()
	f.Require(fieldUser, firstToken)
	file := filepath.Join(dir, "store")
	write(t, file, f.as(fieldUser+":"+firstToken, "")+"\nhttps://u:p@h\n")
	d := startField(t, f, "", fmt.Sprintf("[credential_command]\n%q = \"store --file=%s\"", f.URL, file))
	d.asked(f.URL+"/r.git", 200)
	f.served(t, d)
	f.Require(fieldUser, secondToken)
	d.asked(f.URL+"/r.git", 500, "gives no credentials")
	if left, err := os.ReadFile(file); err != nil || string(left) != "https://u:p@h\n" {
		t.Errorf("%v; the file has\n%s", err, left)
	}
}

// TestCredentialCommandIsReloaded: what another command gave is forgotten.
func TestCredentialCommandIsReloaded(t *testing.T) {
	t.Parallel()
	f, h := newField(t), newGiver(t)
	f.Require(fieldUser, firstToken)
	h.give(fieldUser, firstToken)
	d := startHelped(t, f, h)
	d.asked(f.URL+"/r.git", 200)
	h.asked()
	d.reload(h.conf(f.URL))
	d.asked(f.URL+"/r.git", 200)
	if asked := h.asked(); asked != "" {
		t.Errorf("after a reload without a change it was asked\n%s", asked)
	}
	d.reload(h.conf(f.URL) + " # the same\n")
	d.reload(strings.Replace(h.conf(f.URL), "--org=acme", "--org=acme ", 1))
	d.asked(f.URL+"/r.git", 200)
	if asked := h.asked(); !strings.Contains(asked, " get\n") {
		t.Errorf("after a change it was asked\n%s", asked)
	}
	if out, _ := d.checkConfig(); !strings.Contains(out, "--org=acme") {
		t.Errorf("--check shows\n%s", out)
	}
	d.configure("[credential_command]", `"h/path" = "x"`, `"h" = "/no/such/program --org acme"`)
	for _, want := range []string{"credential_command.h/path: must be a host", "credential_command.h: ", "no such file"} {
		if out, _ := d.checkConfig(); !strings.Contains(out, want) {
			t.Errorf("--check does not say %q:\n%s", want, out)
		}
	}
}

// TestCredentialCommandOutlives: one that hangs when its daemon is killed is ended by the next one.
func TestCredentialCommandOutlives(t *testing.T) {
	t.Parallel()
	f, h := newField(t), newHelper(t, "trap '' TERM", "sleep 1000")
	f.Require(fieldUser, firstToken)
	d := startField(t, f, "", h.conf(f.URL))
	d.posting("m", f.URL+"/r.git")
	eventually(t, "the command runs", func() bool { return h.read("asked") != "" && len(d.holders()) > 0 })
	d.kill()
	d.run()
	if left := d.holders(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}
