package tests

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// treeOf makes a repository with one commit on main. A name that begins with "link:" is
// that of a symbolic link.
func treeOf(t *testing.T, files map[string]string) *origin.Repo {
	t.Helper()
	var stream strings.Builder
	stream.WriteString("commit refs/heads/main\ncommitter T <t@example.org> 1000000000 +0000\ndata 1\nx\n")
	for name, content := range files {
		mode := "100644"
		if strings.HasPrefix(name, "link:") {
			mode = "120000"
		}
		quoted := ""
		for i := range len(name) {
			quoted += fmt.Sprintf("\\%03o", name[i])
		}
		fmt.Fprintf(&stream, "M %s inline \"%s\"\ndata %d\n%s\n", mode, quoted, len(content), content)
	}
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	r.Import(stream.String())
	return r
}

// zipped are the contents of a zip by name, but for directories.
func (a answer) zipped(t *testing.T) map[string]string {
	t.Helper()
	if a.StatusCode != 200 || a.err != nil {
		t.Fatalf("%s %v\n%.2000s", a.Status, a.err, a.text())
	}
	z, err := zip.NewReader(bytes.NewReader(a.body), int64(len(a.body)))
	if err != nil {
		t.Fatal(err)
	}
	contents := make(map[string]string)
	for _, f := range z.File {
		if f.Mode().IsDir() {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%.100q: %v", f.Name, err)
		}
		if link := strings.HasPrefix(f.Name, "link:"); link != (f.Mode()&fs.ModeSymlink != 0) {
			t.Errorf("%.100q is %s", f.Name, f.Mode())
		}
		contents[f.Name] = string(content)
	}
	return contents
}

// TestFieldZipAsAStream: whoever reads a zip from its beginning must find the sizes of what
// is stored in front of it.
func TestFieldZipAsAStream(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"link:to a file": "dir/file", "dir/file": "some text, some text, some text\n", "empty": "", "one": "1",
		"large": strings.Repeat("0123456789\n", 300_000), "larger": strings.Repeat("comes after a large one\n", 9),
	}
	d := start(t)
	d.pulled("m", treeOf(t, files).Dir)
	zipped := d.get("/m?format=zip&prefix=p").expect(t, 200).body
	for rest, n := zipped, 0; ; n++ { // the entry at the beginning, and those that follow it at once
		i := bytes.Index(rest, []byte("PK\x03\x04"))
		if i < 0 {
			if n < len(files) {
				t.Errorf("%d entries", n)
			}
			break
		}
		rest = rest[i:]
		number := func(at int) int { return int(rest[at]) | int(rest[at+1])<<8 } // APPNOTE.TXT, 4.3.7
		flags, method, size := number(6), number(8), number(22)|number(24)<<16
		name := string(rest[30:][:number(26)])
		want := len(files[strings.TrimPrefix(name, "p/")])
		if method == int(zip.Store) && (flags&8 != 0 || size != want) {
			t.Errorf("%q is stored, and is told to have %d bytes of %d (flags %#x)", name, size, want, flags)
		}
		rest = rest[4:]
	}
	if _, err := exec.LookPath("jar"); err != nil {
		t.Log("no jar on this machine: the zip is not read by Java")
		return
	}
	dir := t.TempDir()
	jar := exec.Command("jar", "x") // reads its input by ZipInputStream
	jar.Dir, jar.Stdin = dir, bytes.NewReader(zipped)
	if out, err := jar.CombinedOutput(); err != nil {
		t.Fatalf("jar x: %v\n%s", err, out)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, "p", name)); string(got) != want || err != nil {
			t.Errorf("Java reads %d bytes of %q instead of %d, %v", len(got), name, len(want), err)
		}
	}
}

// TestFieldLongLinks: anything may be committed as a symbolic link.
func TestFieldLongLinks(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"link:2 MB":                            strings.Repeat("2 MB of text\n", 160_000),
		"link:NUL":                             strings.Repeat("a", 200) + "\x00b",
		"link:101":                             strings.Repeat("l", 101),
		strings.Repeat("deep/", 1000) + "name": "a long path",
		strings.Repeat("n", 4000):              "a long name",
	}
	d := start(t)
	d.pulled("m", treeOf(t, files).Dir)
	got := d.get("/m?format=zip").zipped(t)
	for name, want := range files {
		if got[name] != want {
			t.Errorf("%.40q has %d bytes in the zip instead of %d, or others", name, len(got[name]), len(want))
		}
	}
	for _, format := range []string{"tar", "tar.gz", "tar.zst"} {
		d.get("/m?format="+format).expect(t, 200)
	}
}

// TestFieldAnyNameAsPath: names in a tree can be anything.
func TestFieldAnyNameAsPath(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"-conf": "a dash", "--output=/tmp/x": "an option", "-d/--remote=x": "options", "a\nb": "a line end", "\x01\x1b[2J\x7f": "terminal escapes",
		"\r\nX-Evil: 1": "a header", "\xff\xfe": "no UTF-8", "\xe2\x80\xae": "right to left", " ": "a space", "\t": "a tab",
		`back\slash`: "a backslash", `"`: "a quotation mark", "*": "no pattern", ":(top)x": "no magic", "...": "three dots", "d/\n/\n": "line ends",
	}
	d := start(t)
	d.pulled("m", treeOf(t, files).Dir)
	for name, want := range files {
		query := "/m?path=" + url.QueryEscape(name)
		a := d.get(query).expect(t, 200, "X-Evil", "", "Content-Disposition", `attachment; filename="m.tar"`)
		if got := a.files(t); len(got) != 1 || got[name] != want {
			t.Errorf("path=%q is %q", name, got)
		}
		d.do("HEAD", query, nil).expect(t, 200)
		if got := d.get(query + "&format=zip&prefix=p/").zipped(t); len(got) != 1 || got["p/"+name] != want {
			t.Errorf("path=%q is %q in a zip", name, got)
		}
		d.do("HEAD", query+"x", nil).expect(t, 404)
		d.get(query+"x").expect(t, 404).contains(t, "no such path")
	}
	// Git does not repeat all of a path that it does not find.
	for _, long := range []string{strings.Repeat("x", 4096), "-" + strings.Repeat("\n", 4000), strings.Repeat("dir/", 1000) + "x"} {
		d.get("/m?path="+url.QueryEscape(long)).expect(t, 404).contains(t, "no such path")
	}
	for _, none := range []string{"/etc/passwd", "a//b", "./-conf", "a/../-conf", "..", "\x00", "-conf\x00", ""} {
		d.get("/m?path="+url.QueryEscape(none)).expect(t, 400)
	}
	for _, prefix := range []string{"-x", "a\nb", "\x1b"} { // it is put into the archives of others
		d.get("/m?prefix="+url.QueryEscape(prefix)).expect(t, 400)
	}
	if text := d.log.String(); strings.ContainsAny(text, "\x1b\r\x7f\x01") {
		t.Errorf("the log has control characters:\n%q", text)
	}
}

// TestFieldNoErrorIsCacheable, whatever could be cached for how long if it was none.
func TestFieldNoErrorIsCacheable(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 1)
	commit := r.Git("rev-parse", "main")
	d := start(t)
	d.pulled("m", r.Dir)
	d.pulled("empty", origin.New(t, filepath.Join(t.TempDir(), "empty.git")).Dir)
	byCommit := "/m?ref=" + commit
	tag := d.get(byCommit).expect(t, 200, "Cache-Control", "public, max-age=31536000, immutable").Header.Get("Etag")
	for _, c := range []struct {
		status       int
		method, path string
		headers      []string
	}{
		{412, "GET", byCommit, []string{"If-Match", `"other"`}},
		{412, "HEAD", byCommit, []string{"If-Match", `"other"`}},
		{412, "GET", "/m", []string{"If-Match", `W/` + tag}},
		{412, "GET", byCommit + "&contains=" + strings.Repeat("1", len(commit)), nil},
		{412, "GET", "/x/status", []string{"If-Match", `"other"`}},
		{416, "GET", byCommit, []string{"Range", "bytes=99999999-"}},
		{416, "GET", byCommit, []string{"Range", "bytes=x"}},
		{404, "GET", byCommit + "&path=none", nil},
		{404, "HEAD", byCommit + "&path=none", nil},
		{404, "GET", byCommit + "&path=none", []string{"If-None-Match", "*"}},
		{404, "GET", "/m?ref=none", nil},
		{404, "GET", "/none", nil},
		{404, "GET", "/x/none", nil},
		{404, "GET", "/none/info/refs?service=git-upload-pack", nil},
		{409, "GET", "/empty", nil},
		{400, "GET", byCommit + "&format=rar", nil},
		{403, "GET", "/m/info/refs?service=none", nil},
		{400, "GET", "/x/status?format=none", nil},
		{403, "GET", "/m/info/refs?service=git-receive-pack", nil},
		{403, "POST", "/m/git-receive-pack", nil},
		{405, "PUT", "/m", nil},
		{405, "PUT", "/x/status", nil},
		{415, "POST", "/m/git-upload-pack", nil},
	} {
		d.do(c.method, c.path, nil, c.headers...).
			expect(t, c.status, "Cache-Control", "no-store", "Etag", "", "Content-Disposition", "", "Accept-Ranges", "")
	}
	d.get(byCommit, "If-Match", `"other", `+tag).expect(t, 200, "Etag", tag)
	d.get(byCommit, "If-None-Match", tag).expect(t, 304, "Cache-Control", "public, max-age=31536000, immutable")
}

// TestFieldRangeUnits: RFC 9110, section 14.
func TestFieldRangeUnits(t *testing.T) {
	t.Parallel()
	d := start(t)
	d.pulled("m", bigOrigin(t, 1).Dir)
	for _, query := range []string{"/m", "/m?format=zip"} {
		whole := d.get(query, "Range", "items=0-1").expect(t, 200, "Content-Range", "")
		size := len(whole.body)
		all := strconv.Itoa(size)
		for _, value := range []string{"items=0-1", "0-9", "bytes", "bytes 0-9"} {
			d.get(query, "Range", value).expect(t, 200, "Content-Length", all, "Content-Range", "")
		}
		for _, value := range []string{"bytes=-0", "bytes=" + all + "-", "bytes=99999999999999999999-", "bytes=-0,-00", "bytes=x", "bytes=+1-+2"} {
			d.get(query, "Range", value).expect(t, 416, "Content-Range", "bytes */"+all)
		}
		for value, want := range map[string]string{
			"Bytes=0-9": "0-9", "BYTES=-10": fmt.Sprintf("%d-%d", size-10, size-1), "bytes=5-99999999999999999999": fmt.Sprintf("5-%d", size-1),
			"bytes=-99999999999999999999": fmt.Sprintf("0-%d", size-1), "bytes=-0,3-4": "3-4",
		} {
			part := d.get(query, "Range", value).expect(t, 206, "Content-Range", "bytes "+want+"/"+all)
			var from, to int
			if _, err := fmt.Sscanf(want, "%d-%d", &from, &to); err != nil || !bytes.Equal(part.body, whole.body[from:to+1]) {
				t.Errorf("%s: %d bytes of %s, or others", value, len(part.body), want)
			}
		}
		// Only a GET has ranges.
		d.do("HEAD", query, nil, "Range", "bytes=0-9").expect(t, 200, "Content-Length", all)
	}
}

// TestFieldConditionsAfterExistence: RFC 9110, section 13.2.1.
func TestFieldConditionsAfterExistence(t *testing.T) {
	t.Parallel()
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.pulled("m", bigOrigin(t, 0).Dir)
	for _, method := range []string{"GET", "HEAD"} {
		for _, header := range []string{"If-None-Match", "If-Match"} {
			for _, value := range []string{"*", `"other"`} {
				d.do(method, "/m?path=none", nil, header, value).expect(t, 404)
				d.do(method, "/m?ref=none", nil, header, value).expect(t, 404)
				d.do(method, "/none", nil, header, value).expect(t, 404)
			}
		}
		d.do(method, "/m?path=dir", nil, "If-None-Match", "*").expect(t, 304)
		d.do(method, "/m?path=README", nil, "If-Match", `"other"`).expect(t, 412)
	}
	// What is known to exist costs no process: because there is an archive, or from before.
	tag := d.get("/m?path=dir&prefix=p").expect(t, 200).Header.Get("Etag")
	before := calls()
	for range 3 {
		d.get("/m?path=dir&prefix=p", "If-None-Match", tag).expect(t, 304)
		d.get("/m?path=dir&prefix=never-made", "If-None-Match", "*").expect(t, 304)
		d.do("HEAD", "/m?path=dir&prefix=never-made", nil).expect(t, 200)
		d.get("/m?path=none", "If-None-Match", "*").expect(t, 404)
	}
	if n := calls() - before; n != 0 {
		t.Errorf("git was started %d times", n)
	}
	d.stop()
	d.run()
	d.get("/m").expect(t, 200) // which pulls
	before = calls()
	d.get("/m?path=dir&prefix=p", "If-None-Match", tag).expect(t, 304)
	if n := calls() - before; n != 0 {
		t.Errorf("git was started %d times after a restart", n)
	}
}
