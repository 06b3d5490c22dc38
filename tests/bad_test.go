package tests

import (
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// countGit puts a git before the real one that notes each call, and returns how
// many calls there were.
func (d *daemon) countGit() func() int { return d.countCommands("") }

// countCommands counts the calls of a git command. It is for a daemon that is not started yet.
func (d *daemon) countCommands(name string) func() int {
	d.t.Helper()
	dir := d.t.TempDir()
	notes := filepath.Join(dir, "notes")
	script := "#!/bin/sh\necho \"$*\" >>" + notes + "\nPATH=${PATH#*:} exec git \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755); err != nil {
		d.t.Fatal(err)
	}
	d.env = append(d.env, "PATH="+dir+":"+os.Getenv("PATH"))
	return func() int {
		text, err := os.ReadFile(notes)
		if err != nil {
			d.t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			if name == "" || strings.Contains(line, " "+name+" ") {
				n++
			}
		}
		return n
	}
}

// tree is every path of a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		b.WriteString(path + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBadPostsStartNothing(t *testing.T) {
	r := newOrigin(t)
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.pulled("taken/m", r.Dir)
	secure := prepare(t)
	secureCalls := secure.countGit()
	secure.flags = nil
	secure.run()

	before, callsBefore, secureBefore := tree(t, d.storage), calls(), secureCalls()
	good := "name=m&origin=" + url.QueryEscape(r.Dir)
	field := func(name, origin string) string { return url.Values{"name": {name}, "origin": {origin}}.Encode() }
	for _, c := range []struct {
		body   string
		status int
	}{
		{"", 400}, {"name=m", 400}, {"origin=x", 400}, {good + "&name=n", 400}, {good + "&origin=x", 400},
		{good + "&wait=1&wait=2", 400}, {good + "&accept=all", 400}, {good + "&move=-x", 400}, {good + "&wait=x", 400},
		{"name=%zz", 400}, {"name=m;origin=x", 400}, {good + "&" + strings.Repeat("a", 64<<10), 413},
		{field("../m", r.Dir), 400}, {field("m\x00", r.Dir), 400}, {field("m\n", r.Dir), 400}, {field(`m\n`, r.Dir), 400},
		{field("-m", r.Dir), 400}, {field(".m", r.Dir), 400}, {field("m.lock", r.Dir), 400}, {field(strings.Repeat("m", 201), r.Dir), 400},
		{field("x/m", r.Dir), 400}, {field("m/info/refs", r.Dir), 400}, {field("%2e%2e/m", r.Dir), 400},
		{field("taken/m/n", r.Dir), 409}, {field("taken", r.Dir), 409},
		{field("m", "ext::sh -c id"), 400}, {field("m", "fd::0"), 400}, {field("m", "--upload-pack=id"), 400}, {field("m", "m"), 400},
		{field("m", "ssh://-oProxyCommand=id/x"), 400}, {field("m", "ssh://h%20x/y"), 400}, {field("m", "git@-h:x"), 400},
		{field("m", "http://h/\x01"), 400}, {field("m", "http://h/x?y"), 400}, {field("m", "ftp://h/x"), 400},
	} {
		d.do("POST", "/", strings.NewReader(c.body), "Content-Type", formType).expect(t, c.status)
	}
	// What stands in the query does not count.
	d.do("POST", "/?"+good, strings.NewReader("name=m"), "Content-Type", formType).expect(t, 400)
	d.do("POST", "/", strings.NewReader(good), "Content-Type", "multipart/form-data; boundary=x").expect(t, 415)
	d.do("POST", "/", strings.NewReader(good), "Content-Type", formType, "Sec-Fetch-Site", "cross-site").expect(t, 403)
	d.do("POST", "/", strings.NewReader(good), "Content-Type", formType, "Origin", "https://evil.example").expect(t, 403)
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "/", "GET, HEAD, POST"}, {"PUT", "/", "GET, HEAD, POST"}, {"POST", "/taken/m", "GET, HEAD, DELETE"},
		{"OPTIONS", "/taken/m", "GET, HEAD, DELETE"}, {"DELETE", "/", "GET, HEAD, POST"}, {"FOO", "/", "GET, HEAD, POST"},
	} {
		d.do(c.method, c.path, nil).expect(t, 405, "Allow", c.allow)
	}
	for path, status := range map[string]int{
		"/%2e%2e/%2e%2e/etc/passwd": 400, "/taken/../taken/m": 400, "//taken//m": 400, "/a%00b": 400, "/.sould/lock": 400, "/x": 404,
		"/x/none": 404, "/none": 404, "/taken/m/HEAD": 404, "/taken/m/objects": 404, "/" + strings.Repeat("a/", 600): 400,
	} {
		d.get(path).expect(t, status)
	}
	for _, origin := range []string{r.Dir, "file://" + r.Dir, "FILE://" + r.Dir} {
		secure.post("m", origin).expect(t, 400).contains(t, "--unsecure")
	}

	if after := tree(t, d.storage); after != before {
		t.Errorf("the storage was\n%snow it is\n%s", before, after)
	}
	if n := calls() - callsBefore; n != 0 {
		t.Errorf("git was started %d times", n)
	}
	if n := secureCalls() - secureBefore; n != 0 {
		t.Errorf("git was started %d times for local origins", n)
	}
	d.get("/taken/m").expect(t, http.StatusOK)
}
