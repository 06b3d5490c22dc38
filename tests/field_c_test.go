package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// What stands for a person in these tests. The name is long enough to be a token.
const (
	fieldUser     = "alice-0f-w0nder"
	fieldPassword = "p4ss-0f-w0nder"
)

// field is an origin of the suite, and what it was told.
type field struct {
	*origin.HTTP
	repo *origin.Repo // at /r.git

	mu    sync.Mutex // guards told and words
	told  []string   // the credentials of each request, "-" for none
	words []string   // the command lines of all processes of the daemon meanwhile
}

// newField makes an origin.
func newField(t *testing.T) *field {
	t.Helper()
	root := t.TempDir()
	f := &field{repo: origin.New(t, filepath.Join(root, "r.git"))}
	f.repo.Commit("main", map[string]string{"f": "1"})
	f.HTTP = origin.ServeHTTP(t, root)
	f.watch(nil)
	return f
}

// watch has the origin take notes of requests, and of the processes of a daemon, if there
// is one.
func (f *field) watch(d *daemon) {
	f.Before(func(r *http.Request) {
		user, password, ok := r.BasicAuth()
		said := "-"
		if ok {
			said = user + ":" + password
		}
		var words []string
		if d != nil {
			for _, pid := range d.holders() {
				text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline") // it may have ended
				words = append(words, string(text))
			}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.told, f.words = append(f.told, said), append(f.words, words...)
	})
}

// heard is what the origin was told, each once, and forgets it.
func (f *field) heard() map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[string]bool)
	for _, said := range f.told {
		all[said] = true
	}
	f.told = nil
	return all
}

// first is the credentials of the first request that it was sent.
func (f *field) first() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.told) == 0 {
		return "nothing"
	}
	return f.told[0]
}

// as is the URL of a repository of an origin with these words before the host.
func (f *field) as(who, path string) string {
	return strings.Replace(f.URL, "://", "://"+who+"@", 1) + path
}

// other is a second origin, that nothing of the first one may reach.
func other(t *testing.T) *field {
	f := newField(t)
	t.Cleanup(func() {
		if heard := f.heard(); len(heard) > 0 {
			t.Errorf("another server was sent on %v", heard)
		}
	})
	return f
}

// startField starts a daemon whose user has this file ~/.netrc, and checks in the end that
// no secrets are in what it has said, nor in its command lines.
func startField(t *testing.T, f *field, netrc string, lines ...string) *daemon {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte(netrc), 0o600); err != nil {
		t.Fatal(err)
	}
	d := prepare(t, lines...)
	d.env = append(d.env, "HOME="+home)
	d.run()
	f.watch(d)
	t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		tellsNothing(t, []string{fieldUser, fieldPassword}, append(f.words, d.log.String())...)
	})
	return d
}

// asked posts, and checks that the answer shows no secrets.
func (d *daemon) asked(url string, status int, parts ...string) answer {
	d.t.Helper()
	a := d.post("m", url).expect(d.t, status).contains(d.t, parts...)
	tellsNothing(d.t, []string{fieldUser, fieldPassword}, a.text())
	return a
}

// served checks that the mirror is what the origin is.
func (f *field) served(t *testing.T, d *daemon) {
	t.Helper()
	d.get("/m").expect(t, 200, "X-State", "success", "X-Revision", f.repo.Git("rev-parse", "main"))
}

// TestFieldC: credentials, and origins that send those who ask elsewhere.
func TestFieldC(t *testing.T) {
	both := fieldUser + ":" + fieldPassword
	for what, try := range map[string]func(*testing.T){
		"a user without a password, and everybody may read": func(t *testing.T) {
			f := newField(t)
			d := startField(t, f, "")
			d.asked(f.as(fieldUser, "/r.git"), 200)
			f.served(t, d)
			if heard := f.heard(); len(heard) != 1 || !heard["-"] {
				t.Errorf("the origin was told %v", heard)
			}
		},
		"a user whose password is in ~/.netrc": func(t *testing.T) {
			f := newField(t)
			f.Require(fieldUser, fieldPassword)
			d := startField(t, f, fmt.Sprintf("# others come first\nmachine 127.0.0.1 login bob password b0b\n"+
				"machine 127.0.0.1\n\tlogin %s\n\tpassword \"%s\"\n", fieldUser, fieldPassword))
			d.asked(f.as(fieldUser, "/r.git"), 200)
			f.repo.Commit("main", map[string]string{"f": "2"})
			d.asked(f.as(fieldUser, "/r.git"), 200)
			f.served(t, d)
			if heard := f.heard(); len(heard) != 2 || !heard["-"] || !heard[both] {
				t.Errorf("the origin was told %v", heard)
			}
		},
		"a token in the place of a name": func(t *testing.T) {
			f := newField(t)
			f.Require(fieldUser, "")
			d := startField(t, f, "")
			d.asked(f.as(fieldUser, "/r.git"), 200)
			f.served(t, d)
			if first := f.first(); first != "-" {
				t.Errorf("it was sent unasked: %s", first)
			}
		},
		"a user whose password nobody knows": func(t *testing.T) {
			f := newField(t)
			f.Require(fieldUser, fieldPassword)
			d := startField(t, f, "machine 127.0.0.1 login bob password "+fieldPassword+"\nmachine other.example login "+fieldUser+" password x\n")
			d.asked(f.as(fieldUser, "/r.git"), 500, "the origin wants a password", "~/.netrc")
			if heard := f.heard(); heard["bob:"+fieldPassword] {
				t.Errorf("the origin was told somebody else's password: %v", heard)
			}
		},
		"from /r to /r.git, with a password": func(t *testing.T) {
			f := newField(t)
			f.Require(fieldUser, fieldPassword)
			f.Be(origin.MovedTo("/r/", f.URL+"/r.git/"))
			d := startField(t, f, "")
			d.asked(f.as(both, "/r"), 200)
			f.repo.Commit("main", map[string]string{"f": "2"})
			d.asked(f.as(both, "/r"), 200, "1 ref")
			f.served(t, d)
		},
		"from /r to /r.git, with a user for ~/.netrc": func(t *testing.T) {
			f := newField(t)
			f.Require(fieldUser, fieldPassword)
			f.Be(origin.MovedTo("/r/", "/r.git/")) // a path alone
			d := startField(t, f, "default login "+fieldUser+" password "+fieldPassword)
			d.asked(f.as(fieldUser, "/r/"), 200)
			f.served(t, d)
		},
		"in several steps": func(t *testing.T) {
			f := newField(t)
			first, second := origin.MovedTo("/old/", f.URL+"/"), origin.MovedTo("/r/", "/r.git/")
			f.Be(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
				first(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { second(w, r, git) }))
			})
			d := startField(t, f, "")
			d.asked(f.as(both, "/old/r"), 200)
			f.served(t, d)
		},
		"in a circle": func(t *testing.T) {
			f := newField(t)
			f.Be(origin.Redirecting(func(r *http.Request) string { return r.URL.RequestURI() }))
			d := startField(t, f, "")
			d.asked(f.as(both, "/r.git"), 500, "redirects more than", "301")
		},
		"to another port": func(t *testing.T) {
			f, o := newField(t), other(t)
			f.Be(origin.Redirecting(func(r *http.Request) string { return o.URL + r.URL.RequestURI() }))
			d := startField(t, f, "")
			d.asked(f.as(both, "/r.git"), 500, "redirects to "+o.URL+"/r.git, ", "POST with it as origin", "301")
			d.asked(f.as(fieldUser, "/r.git"), 500, "redirects to "+o.URL+"/r.git, ", "POST with it as origin")
		},
		"to another scheme": func(t *testing.T) {
			f := newField(t)
			to := strings.Replace(f.URL, "http://", "https://", 1)
			f.Be(origin.Redirecting(func(r *http.Request) string { return to + r.URL.RequestURI() }))
			d := startField(t, f, "")
			d.asked(f.as(both, "/r.git"), 500, "redirects to "+to+"/r.git, ", "POST with it as origin")
		},
		"to a URL with the credentials in it": func(t *testing.T) {
			f := newField(t)
			f.Be(origin.Redirecting(func(r *http.Request) string { return f.as(both, r.URL.RequestURI()) }))
			d := startField(t, f, "")
			d.asked(f.as(both, "/r.git"), 500, "redirects to http://***@"+strings.TrimPrefix(f.URL, "http://")+"/r.git, ", "POST with it as origin")
		},
		"to a page for people": func(t *testing.T) {
			f := newField(t)
			f.Be(origin.Redirecting(func(r *http.Request) string { return "/login?token=" + fieldPassword }))
			d := startField(t, f, "")
			d.asked(f.as("jack:secretsecret", "/r.git"), 500, "redirects to "+f.URL+"/login, which is not a repository")
		},
		"where only certain origins may be read": func(t *testing.T) {
			f, o := newField(t), other(t)
			f.Be(origin.Redirecting(func(r *http.Request) string {
				switch path := r.URL.RequestURI(); {
				case strings.HasPrefix(path, "/old/"):
					return f.URL + strings.TrimPrefix(path, "/old")
				case strings.HasPrefix(path, "/away/"):
					return o.URL + strings.TrimPrefix(path, "/away")
				}
				return ""
			}))
			d := startField(t, f, "", fmt.Sprintf("origins = [%q, %q, %q]", f.URL+"/r.git", f.URL+"/old/", f.URL+"/away/"))
			d.asked(f.URL+"/old/r.git", 200)
			f.served(t, d)
			f.heard()
			a := d.post("n", f.URL+"/old/secret.git").expect(t, 500).contains(t, "redirects to "+f.URL+"/secret.git, ", "(origins) does not name it", "301")
			if heard := f.heard(); len(heard) == 0 {
				t.Errorf("nobody asked: %s", a.text())
			}
			d.post("o", f.URL+"/away/r.git").expect(t, 500).contains(t, "redirects to "+o.URL+"/r.git, ", "POST with it as origin")
		},
	} {
		t.Run(what, func(t *testing.T) { t.Parallel(); try(t) })
	}
}
