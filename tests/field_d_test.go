package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"github.com/reconquest/sould/tests/origin"
)

// TestFieldD: servers that are slow, or different from git's own.
func TestFieldD(t *testing.T) {
	for what, try := range map[string]func(*testing.T){
		"an origin that counts objects for long":                   fieldCounting,
		"an origin that speaks protocol 2 only, and says so":       func(t *testing.T) { fieldModern(t, http.StatusBadRequest) },
		"an origin that speaks protocol 2 only, and is rude":       func(t *testing.T) { fieldModern(t, http.StatusInternalServerError) },
		"an origin that speaks protocol 2 only, and shows nothing": func(t *testing.T) { fieldModern(t, http.StatusOK) },
		"an origin that speaks protocol 2 only, over git://":       fieldModernGit,
		"an origin that is asked in vain":                          fieldGone,
		"a force push, in the words of JGit":                       func(t *testing.T) { fieldMoved(t, "ERR want %s not valid") },
		"a force push, in the words of Azure":                      func(t *testing.T) { fieldMoved(t, "ERR TF401035: The object '%s' does not exist.") },
		"names that are too long for files":                        fieldLongNames,
		"a name that is too long for a file, and no other":         fieldLongName,
		"a name that is too long for anything":                     fieldLongestName,
		"names that are not UTF-8":                                 fieldBytes,
	} {
		t.Run(what, func(t *testing.T) { t.Parallel(); try(t) })
	}
}

// fieldCounting: an origin that shows that it is alive has as long as the configuration
// says. In the short form git itself is asked when it would lose patience; the long form
// waits until it would have.
func fieldCounting(t *testing.T) {
	_, server, url := served(t)
	began, end := make(chan bool, 8), make(chan struct{})
	release := sync.OnceFunc(func() { close(end) })
	t.Cleanup(release)
	server.Be(origin.Counting(began, end))
	d := start(t)
	d.client = &http.Client{Timeout: 5 * time.Minute}
	posted := d.posting("m", url)
	select {
	case <-began:
	case a := <-posted:
		t.Fatalf("%s before it has begun to count\n%s", a.Status, a.text())
	case <-time.After(patient):
		t.Fatal("nobody asks for objects")
	}
	helpers := 0
	for _, pid := range d.holders() {
		environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		command, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if err != nil || !strings.Contains(string(command), "remote-http") {
			continue
		}
		helpers++
		if limit, time := lowSpeed(t, environ, "Limit"), lowSpeed(t, environ, "Time"); limit > 0 && time > 0 && time < 600 {
			t.Errorf("less than %d bytes a second are a failure after %d seconds", limit, time)
		}
	}
	if helpers == 0 {
		t.Error("no helper of git is found")
	}
	if soak() {
		select {
		case a := <-posted:
			t.Fatalf("%s while it counts\n%s", a.Status, a.text())
		case <-time.After(75 * time.Second):
		}
	}
	release()
	(<-posted).expect(t, 200)
	d.get("/m").expect(t, 200, "X-State", "success")
}

// lowSpeed is a number of git's http.lowSpeed… in a process with this environment.
func lowSpeed(t *testing.T, environ []byte, key string) int {
	t.Helper()
	cmd := exec.Command("git", "config", "--default=0", "--get", "http.lowSpeed"+key)
	cmd.Env = strings.Split(strings.TrimRight(string(environ), "\x00"), "\x00")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range cmd.Env {
		if value, ok := strings.CutPrefix(variable, "GIT_HTTP_LOW_SPEED_"+strings.ToUpper(key)+"="); ok {
			return mustAtoi(t, value)
		}
	}
	return mustAtoi(t, strings.TrimSpace(string(out)))
}

func fieldModern(t *testing.T, status int) {
	r, server, url := served(t)
	server.Be(origin.ModernOnly(status))
	d := start(t)
	d.pulled("m", url)
	fieldSame(t, d, r)
	r.Commit("main", map[string]string{"f": "2"})
	r.Commit("side", map[string]string{"f": "3"})
	d.pulled("m", url)
	fieldSame(t, d, r)
}

// fieldSame checks that the mirror has the refs of its origin.
func fieldSame(t *testing.T, d *daemon, r *origin.Repo) {
	t.Helper()
	if got, want := refs(t, d.mirror("m")), refs(t, r.Dir); got != want || got == "" {
		t.Errorf("the mirror has\n%.2000s\nthe origin\n%.2000s", got, want)
	}
	d.fsck("m")
}

func fieldModernGit(t *testing.T) {
	r := newOrigin(t)
	url := origin.ServeModernGit(t, filepath.Dir(r.Dir)) + "/" + filepath.Base(r.Dir)
	d := start(t)
	d.pulled("m", url)
	r.Commit("main", map[string]string{"f": "2"})
	d.pulled("m", url)
	fieldSame(t, d, r)
}

// fieldGone: an origin that refuses both versions is not asked for more, and one that is
// empty in both is empty.
func fieldGone(t *testing.T) {
	root := t.TempDir()
	origin.New(t, filepath.Join(root, "empty.git"))
	server := origin.ServeHTTP(t, root)
	server.Be(origin.ModernOnly(http.StatusTeapot))
	d := start(t)
	d.pulled("empty", server.URL+"/empty.git")
	d.get("/empty").expect(t, 409)
	var asked []string
	var mu sync.Mutex // guards asked
	server.Before(func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Header.Get("Git-Protocol"))
	})
	d.post("none", server.URL+"/none.git").expect(t, 500).contains(t, "418", "in version 2", "not found")
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(asked, ","); got != ",version=2" {
		t.Errorf("it was asked %q", got)
	}
}

func fieldMoved(t *testing.T, words string) {
	r, server, url := served(t)
	server.Be(origin.Saying(words))
	d := start(t)
	d.pulled("m", url)
	r.Commit("main", map[string]string{"f": "2"})
	var once sync.Once
	server.Before(func(q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/git-upload-pack") {
			once.Do(func() {
				r.Git("update-ref", "-d", "refs/heads/main")
				r.Commit("main", map[string]string{"f": "other"})
				r.Git("reflog", "expire", "--expire=now", "--all")
				r.Git("-c", "gc.pruneExpire=now", "gc", "--quiet")
			})
		}
	})
	d.pulled("m", url)
	fieldSame(t, d, r)
}

// pack puts refs into packed-refs as other servers of git can have them.
func pack(t *testing.T, r *origin.Repo, id string, names ...string) {
	t.Helper()
	text := "# pack-refs with: peeled fully-peeled sorted \n"
	for _, name := range names {
		text += id + " refs/heads/" + name + "\n"
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "packed-refs"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func fieldLongNames(t *testing.T) {
	r, _, from := served(t)
	main := r.Git("rev-parse", "main")
	component, path := strings.Repeat("x", 300), strings.Repeat("y/", 3000)+"z"
	r.Git("update-ref", "-d", "refs/heads/main")
	pack(t, r, main, "main", component, path)
	d := start(t)
	d.pulled("m", from)
	fieldSame(t, d, r)
	for _, name := range []string{component, path, "refs/heads/" + component} {
		d.get("/m?ref="+url.QueryEscape(name)).expect(t, 200, "X-Revision", main)
	}
	for _, version := range protocols {
		dir := d.clone(version, "m", "--mirror")
		if got, want := refs(t, dir), refs(t, r.Dir); got != want {
			t.Errorf("a clone in version %s has\n%.1000s\nwant\n%.1000s", version, got, want)
		}
	}

	// They move, and what they were is kept.
	next := r.Commit("main", map[string]string{"f": "next"})
	r.Git("update-ref", "-d", "refs/heads/main")
	pack(t, r, next, "main", component, path)
	d.pulled("m", from)
	fieldSame(t, d, r)
	pack(t, r, next, "main")
	d.pulled("m", from)
	if got := d.kept("m"); got != fmt.Sprintf("heads/%s %s\nheads/%s %s\n", component, next, path, next) {
		t.Errorf("kept are\n%.1000s", got)
	}
	d.reload(`check = "2s"`)
	d.wait(`INFO checked mirror=m`)
}

// fieldLongName: where git sees no HEAD, the mirror is whole all the same, and a clone of it
// works as one of the origin does.
func fieldLongName(t *testing.T) {
	r, _, from := served(t)
	main, name := r.Git("rev-parse", "main"), strings.Repeat("x", 300)
	r.Git("update-ref", "-d", "refs/heads/main")
	pack(t, r, main, name)
	d := start(t)
	d.pulled("m", from)
	if got := refs(t, d.mirror("m")); got != "refs/heads/"+name+" "+main+"\n" {
		t.Errorf("the mirror has %.1000s", got)
	}
	d.get("/m").expect(t, 200, "X-Revision", main)
	for _, version := range protocols {
		d.clone(version, "m")
		d.clone(version, "m", "--mirror")
	}
	d.reload(`check = "2s"`)
	d.wait(`(INFO checked|ERROR checked; it is damaged) mirror=m`)
	if _, damage := d.checked("m"); damage != "" {
		t.Errorf("it is said to be damaged: %.1000s", damage)
	}
}

// fieldLongestName: what cannot be mirrored is not left out without a word.
func fieldLongestName(t *testing.T) {
	r, _, url := served(t)
	main := r.Git("rev-parse", "main")
	r.Git("update-ref", "-d", "refs/heads/main")
	pack(t, r, main, "main", strings.Repeat("x", 40_000))
	start(t).post("m", url).expect(t, 500).contains(t, "a name of 40011 bytes")
}

// fieldBytes: the status is TOML and JSON whatever a branch is called.
func fieldBytes(t *testing.T) {
	r := newOrigin(t)
	const name = "caf\xe9\xff"
	id := r.Commit(name, map[string]string{"f": "1"})
	r.Git("symbolic-ref", "HEAD", "refs/heads/"+name)
	d := start(t)
	d.pulled("m", r.Dir)
	if got := head(t, d.mirror("m")); got != "ref: refs/heads/"+name+"\n" {
		t.Errorf("HEAD is %q", got)
	}
	d.get("/m").expect(t, 200, "X-Revision", id)
	check := func(query string) {
		t.Helper()
		var fromTOML, fromJSON struct {
			Mirrors []struct {
				Branch string
				Kept   []struct{ Ref string }
			}
		}
		text := d.get("/x/status?format=toml"+query).expect(t, 200).text()
		if _, err := toml.Decode(text, &fromTOML); err != nil {
			t.Errorf("%v in\n%q", err, text)
		}
		if err := json.Unmarshal(d.get("/x/status?format=json"+query).expect(t, 200).body, &fromJSON); err != nil {
			t.Error(err)
		}
		if got, want := fmt.Sprint(fromTOML), fmt.Sprint(fromJSON); got != want || !utf8.ValidString(got) {
			t.Errorf("TOML tells %q, JSON %q", got, want)
		}
		if text := d.get("/x/status?format=hierarchical" + query).text(); !utf8.ValidString(text) {
			t.Errorf("the page is no text: %q", text)
		}
	}
	check("")
	r.Git("symbolic-ref", "HEAD", "refs/heads/main")
	r.Git("update-ref", "-d", "refs/heads/"+name)
	d.pulled("m", r.Dir)
	check("&name=m") // with what is kept
}
