package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// bigOrigin makes a repository whose archive has some megabytes.
func bigOrigin(t *testing.T, megabytes int) *origin.Repo {
	t.Helper()
	r := origin.New(t, filepath.Join(t.TempDir(), "big.git"))
	files := map[string]string{"README": "x", "dir/a.txt": "a", "dir/b*.txt": "b", "dir/sub/c": "c", ":!x": "odd"}
	state := uint32(1)
	for i := range megabytes {
		b := make([]byte, 1<<20)
		for j := range b {
			state = state*1664525 + 1013904223
			b[j] = "0123456789abcdef"[state>>28]
		}
		files[fmt.Sprintf("big/%03d", i)] = string(b)
	}
	r.Commit("main", files)
	return r
}

func TestFormats(t *testing.T) {
	r := bigOrigin(t, 2)
	d := start(t)
	d.pulled("a/name", r.Dir)
	want := d.get("/a/name").files(t)
	for format, list := range map[string][]string{
		"tar.gz": {"tar", "-tzf"}, "tar.zst": {"tar", "--zstd", "-tf"}, "zip": {"unzip", "-Z1"},
	} {
		a := d.get("/a/name?format="+format).expect(t, 200, "Content-Disposition", `attachment; filename="name.`+format+`"`)
		if format == "tar.gz" {
			a.expect(t, 200, "Content-Type", "application/gzip", "Content-Encoding", "")
		}
		if _, err := exec.LookPath(list[0]); err != nil || list[1] == "--zstd" && exec.Command("zstd", "-V").Run() != nil {
			t.Logf("no program to list a %s on this machine", format)
			continue
		}
		path := filepath.Join(t.TempDir(), "archive")
		if err := os.WriteFile(path, a.body, 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(list[0], append(list[1:], path)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for name := range want {
			if !strings.Contains("\n"+string(out), "\n"+name+"\n") {
				t.Errorf("%s: no %s in\n%s", format, name, out)
			}
		}
	}
}

func TestPathAndPrefix(t *testing.T) {
	r := bigOrigin(t, 0)
	d := start(t)
	d.pulled("m", r.Dir)
	for query, want := range map[string]string{
		"?path=dir":                          "dir/a.txt dir/b*.txt dir/sub/c",
		"?path=dir/":                         "dir/a.txt dir/b*.txt dir/sub/c",
		"?path=dir/a.txt":                    "dir/a.txt",
		"?path=dir/b*.txt":                   "dir/b*.txt", // not a pattern
		"?path=:!x":                          ":!x",
		"?path=dir/sub&prefix=pre-1.0":       "pre-1.0/dir/sub/c",
		"?path=dir/sub&prefix=pre/fix/":      "pre/fix/dir/sub/c",
		"?path=README&prefix=--output%3D/x/": "",
	} {
		a := d.get("/m" + query)
		if want == "" {
			a.expect(t, 400)
			continue
		}
		var names []string
		for name := range a.files(t) {
			names = append(names, name)
		}
		if got := sorted(names); got != want {
			t.Errorf("%s holds %s, want %s", query, got, want)
		}
	}
	for _, query := range []string{"?path=none", "?path=dir/*.txt", "?path=dir/a.txt/x", "?path=README&path=", "?path=*"} {
		a := d.get("/m" + query)
		if a.StatusCode != 404 && a.StatusCode != 400 {
			t.Errorf("%s: %s", query, a.Status)
		}
	}
	d.get("/m?path=none").expect(t, 404, "Etag", "", "Content-Disposition", "").contains(t, "no such path", "none")
	d.do("HEAD", "/m?path=none", nil).expect(t, 404)
	d.do("HEAD", "/m?path=dir", nil).expect(t, 200)
}

// TestSeveralPaths: their order does not matter, nor does it that one lies inside another, and each of
// them must be there.
func TestSeveralPaths(t *testing.T) {
	r := bigOrigin(t, 0)
	r.Commit("main", map[string]string{"dir-x/f": "f"})
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.pulled("m", r.Dir)
	whole := d.get("/m?path=dir&path=README&prefix=p").expect(t, 200)
	tag := whole.Header.Get("Etag")
	var names []string
	for name := range whole.files(t) {
		names = append(names, name)
	}
	if got := sorted(names); got != "p/README p/dir/a.txt p/dir/b*.txt p/dir/sub/c" {
		t.Errorf("it holds %s", got)
	}
	for _, query := range []string{
		"?prefix=p&path=README&path=dir", "?path=dir/&path=README&path=dir&prefix=p", "?path=dir/sub&path=dir&prefix=p&path=README&path=dir/sub/c",
	} {
		if a := d.get("/m"+query).expect(t, 200, "Etag", tag); !bytes.Equal(a.body, whole.body) {
			t.Errorf("%s gives other bytes", query)
		}
		d.do("HEAD", "/m"+query, nil).expect(t, 200, "Etag", tag, "Content-Length", strconv.Itoa(len(whole.body)))
		d.get("/m"+query, "If-None-Match", tag).expect(t, 304)
		d.get("/m"+query, "Range", "bytes=0-9", "If-Range", tag).expect(t, 206)
	}
	before := calls()
	d.get("/m?prefix=p&path=README&path=dir").expect(t, 200)
	d.get("/m?path=dir/sub&path=dir&prefix=p&path=README&path=dir/sub/c").expect(t, 200)
	if n := calls() - before; n != 0 {
		t.Errorf("git was started %d times for what is warm", n)
	}
	if one := d.get("/m?path=dir&path=dir").Header.Get("Etag"); one != d.get("/m?path=dir").Header.Get("Etag") || one == tag {
		t.Errorf("the ETag of one path that is given twice is %s", one)
	}
	for _, query := range []string{"?path=dir&path=none", "?path=none&path=README", "?path=dir&path=dir/none", "?path=README&path=README/none"} {
		for _, format := range []string{"tar", "zip"} {
			d.get("/m"+query+"&format="+format).expect(t, 404, "Etag", "").contains(t, "no such path", "none")
		}
		d.do("HEAD", "/m"+query, nil).expect(t, 404)
		d.get("/m"+query, "If-None-Match", "*").expect(t, 404)
		d.get("/m"+query, "Range", "bytes=0-9").expect(t, 404)
	}
	d.get("/m?"+strings.Repeat("path=dir&", 65)).expect(t, 400).contains(t, "65 times", "64 at most")
	d.get("/m?path=dir&path=../x").expect(t, 400)

	// They are made ahead as one path is.
	tip := r.Commit("main", map[string]string{"README": "2"})
	cache := filepath.Join(d.storage, ".sould", "cache")
	files := strings.Count(tree(t, cache), "\n")
	d.pulled("m", r.Dir)
	eventually(t, "what is made ahead", func() bool {
		return strings.Count(tree(t, cache), "\n") == files+2 && !strings.Contains(tree(t, cache), ".part")
	})
	before = calls()
	d.get("/m?path=dir&path=README&prefix=p").expect(t, 200, "X-Revision", tip)
	if n := calls() - before; n != 0 {
		t.Errorf("git was started %d times for what was made ahead", n)
	}
}

func sorted(names []string) string {
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestResumeFromAnotherServer fetches half an archive from one server and the rest
// from another, as curl -C - does when the first has gone.
func TestResumeFromAnotherServer(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	r := bigOrigin(t, 4)
	a, b := start(t), start(t)
	a.pulled("m", r.Dir)
	b.pulled("m", r.Dir)
	for _, format := range []string{"tar", "tar.gz", "tar.zst", "zip"} {
		whole := a.get("/m?format=" + format)
		path := filepath.Join(t.TempDir(), "archive")
		if err := os.WriteFile(path, whole.body[:len(whole.body)/2], 0o644); err != nil {
			t.Fatal(err)
		}
		// The other server has not made it yet.
		if out, err := exec.Command("curl", "-sS", "-f", "-C", "-", "-o", path, b.url+"/m?format="+format).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", format, err, out)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, whole.body) {
			t.Errorf("%s: %d bytes of %d, and they differ, %v", format, len(got), len(whole.body), err)
		}
		if other := b.get("/m?format=" + format); other.Header.Get("Etag") != whole.Header.Get("Etag") || other.Header.Get("Etag") == "" {
			t.Errorf("%s: ETags %s and %s", format, whole.Header.Get("Etag"), other.Header.Get("Etag"))
		}
	}
}

func TestConditionsAndRanges(t *testing.T) {
	r := bigOrigin(t, 1)
	d := start(t)
	d.pulled("m", r.Dir)
	head := d.do("HEAD", "/m", nil).expect(t, 200, "Content-Length", "", "Accept-Ranges", "")
	tag := head.Header.Get("Etag")
	d.get("/m", "If-None-Match", tag).expect(t, 304, "Etag", tag, "X-State", "success", "Cache-Control", "no-cache")
	part := d.get("/m", "Range", "bytes=100-199").expect(t, 206, "Etag", tag, "Content-Length", "100")
	whole := d.get("/m").expect(t, 200, "Etag", tag, "Accept-Ranges", "bytes", "Cache-Control", "no-cache")
	if !bytes.Equal(part.body, whole.body[100:200]) || whole.Header.Get("Content-Length") != strconv.Itoa(len(whole.body)) {
		t.Errorf("a part of %d bytes, the whole of %d (%s)", len(part.body), len(whole.body), whole.Header.Get("Content-Length"))
	}
	d.do("HEAD", "/m", nil).expect(t, 200, "Content-Length", strconv.Itoa(len(whole.body)), "Etag", tag)
	d.get("/m", "Range", "bytes=-10").expect(t, 206, "Content-Length", "10")
	d.get("/m", "Range", "bytes=0-0,5-6").expect(t, 206)
	d.get("/m", "Range", fmt.Sprintf("bytes=%d-", len(whole.body))).expect(t, 416, "Content-Range", fmt.Sprintf("bytes */%d", len(whole.body)))
	d.get("/m", "Range", "bytes=x").expect(t, 416)
	d.get("/m", "Range", "bytes=0-9", "If-Range", tag).expect(t, 206)
	d.get("/m", "Range", "bytes=0-9", "If-Range", `"other"`).expect(t, 200)
	d.get("/m", "If-Match", `"other"`).expect(t, 412)
	d.get("/m", "If-None-Match", `"other", `+tag).expect(t, 304)
	d.get("/m?ref="+r.Git("rev-parse", "main")).expect(t, 200, "Etag", tag, "Cache-Control", "public, max-age=31536000, immutable")
	d.get("/m?ref=main").expect(t, 200, "Etag", tag, "Cache-Control", "no-cache")
	if other := d.get("/m?format=zip").Header.Get("Etag"); other == tag {
		t.Error("tar and zip have one ETag")
	}
	second := r.Commit("main", map[string]string{"README": "2"})
	d.pulled("m", r.Dir)
	d.get("/m", "If-None-Match", tag).expect(t, 200, "X-Revision", second)
}

// TestTheSameBytesWithAnyGit has a canary for the tar that git makes: if it
// changes, servers with different versions of git do not agree any more.
func TestTheSameBytesWithAnyGit(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	r.Commit("main", map[string]string{"dir/file": "text\n", strings.Repeat("long/", 40) + "name": "x", "ü": ""})
	d := start(t)
	d.pulled("m", r.Dir)
	sum := sha256.Sum256(d.get("/m").body)
	if got := hex.EncodeToString(sum[:6]); got != "43de50807c8e" {
		out, _ := exec.Command("git", "--version").Output()
		t.Errorf("the tar of %shas the digest %s", out, got)
	}
}

func TestExportSubst(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	commit := r.Commit("main", map[string]string{".gitattributes": "version export-subst\n", "version": "$Format:%H %d$"})
	d := start(t)
	d.pulled("m", r.Dir)
	if got := d.get("/m").files(t)["version"]; got != "$Format:%H %d$" {
		t.Errorf("expanded to %q without being told", got)
	}
	d.reload("export_subst = true")
	a := d.get("/m").expect(t, 200, "Accept-Ranges", "none")
	if got := a.files(t)["version"]; !strings.HasPrefix(got, commit) {
		t.Errorf("expanded to %q", got)
	}
	tag := a.Header.Get("Etag")
	if !strings.HasPrefix(tag, `W/"`) {
		t.Errorf("the ETag is %s", tag)
	}
	d.get("/m", "Range", "bytes=0-9").expect(t, 200, "Accept-Ranges", "none")
	d.get("/m", "If-None-Match", tag).expect(t, 304)
	// The bytes depend on tags as well.
	r.Git("tag", "v1.0")
	d.pulled("m", r.Dir)
	if got := d.get("/m", "If-None-Match", tag).expect(t, 200).files(t)["version"]; !strings.Contains(got, "v1.0") {
		t.Errorf("expanded to %q", got)
	}
}

func TestNoProcessForWhatIsWarm(t *testing.T) {
	r := bigOrigin(t, 1)
	r.Git("tag", "-a", "-m", "m", "v1", "main")
	main := r.Git("rev-parse", "main")
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.pulled("m", r.Dir)
	queries := []string{"", "?ref=main", "?ref=v1", "?ref=" + main, "?format=zip", "?path=dir&prefix=p/", "?contains=" + main}
	for _, q := range queries {
		d.get("/m"+q).expect(t, 200)
	}
	before := calls()
	for _, q := range queries {
		a := d.get("/m"+q).expect(t, 200)
		d.do("HEAD", "/m"+q, nil).expect(t, 200)
		d.get("/m"+q, "If-None-Match", a.Header.Get("Etag")).expect(t, 304)
		d.get("/m"+q, "Range", "bytes=0-9").expect(t, 206)
	}
	if n := calls() - before; n != 0 {
		t.Errorf("git was started %d times", n)
	}
	// A 304 and a HEAD of what was never made start none either.
	tag := d.do("HEAD", "/m?format=tar.zst", nil).expect(t, 200).Header.Get("Etag")
	d.get("/m?format=tar.zst", "If-None-Match", tag).expect(t, 304)
	if n := calls() - before; n != 0 {
		t.Errorf("git was started %d times for what is not wanted", n)
	}

	// What is finished is found again after a restart; the first GET pulls.
	d.stop()
	d.run()
	d.get("/m").expect(t, 200)
	before = calls()
	d.get("/m?format=zip").expect(t, 200)
	d.get("/m?path=dir&prefix=p/").expect(t, 200)
	if n := calls() - before; n != 0 {
		t.Errorf("git was started %d times after a restart", n)
	}
}

func TestOneProcessForManyClients(t *testing.T) {
	r := bigOrigin(t, 8)
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.pulled("m", r.Dir)
	before := calls()
	bodies := make([][]byte, 16)
	var clients sync.WaitGroup
	for i := range bodies {
		clients.Go(func() { bodies[i] = d.get("/m").expect(t, 200).body })
	}
	clients.Wait()
	for _, b := range bodies {
		if !bytes.Equal(b, bodies[0]) || len(b) < 8<<20 {
			t.Errorf("%d and %d bytes", len(b), len(bodies[0]))
		}
	}
	if n := calls() - before; n != 1 {
		t.Errorf("git was started %d times", n)
	}
	// Nor is it asked what a commit is that was just pushed.
	d.pulled("other", r.Dir)
	before = calls()
	d.get("/other?ref="+r.Git("rev-parse", "main")).expect(t, 200)
	if n := calls() - before; n != 1 {
		t.Errorf("git was started %d times for a branch's commit", n)
	}
}

func TestMadeAhead(t *testing.T) {
	r := bigOrigin(t, 1)
	r.Commit("dev", map[string]string{"x": "1"})
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.pulled("m", r.Dir)
	asked := []string{"", "?format=tar.gz&prefix=p", "?ref=dev"}
	for _, q := range asked {
		d.get("/m"+q).expect(t, 200)
	}
	d.get("/m?path=none").expect(t, 404)
	cached := func() int { // that are finished
		return strings.Count(regexp.MustCompile(`.*\.part\n`).ReplaceAllString(tree(t, filepath.Join(d.storage, ".sould", "cache")), ""), "\n") - 1
	}
	eventually(t, "three finished archives", func() bool { return cached() == 3 })
	tip := r.Commit("main", map[string]string{"x": "2"})
	d.pulled("m", r.Dir)
	eventually(t, "two archives made ahead", func() bool { return cached() == 5 })
	before := calls()
	for _, q := range asked[:2] {
		d.get("/m"+q).expect(t, 200, "X-Revision", tip)
	}
	if n := calls() - before; n != 0 {
		t.Errorf("git was started %d times", n)
	}
	if strings.Contains(d.log.String(), "ahead") {
		t.Errorf("something went wrong:\n%s", d.log)
	}
}

// TestMadeAheadForWhoHasTheLast: hosts that ask once a minute send the ETag of what
// they have, and get no more than a 304 until something changes.
func TestMadeAheadForWhoHasTheLast(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	etag := d.get("/m").expect(t, 200).Header.Get("Etag")
	d.stop()
	d.run()
	d.get("/m", "If-None-Match", etag).expect(t, 304)
	tip := r.Commit("main", map[string]string{"x": "2"})
	before := tree(t, filepath.Join(d.storage, ".sould", "cache"))
	d.pulled("m", r.Dir)
	eventually(t, "an archive made ahead", func() bool {
		now := tree(t, filepath.Join(d.storage, ".sould", "cache"))
		return now != before && !strings.Contains(now, ".part")
	})
	d.get("/m", "If-None-Match", etag).expect(t, 200, "X-Revision", tip)
}

// TestOldHTTP: where only the end of the connection tells the end of an answer, its
// length must be known.
func TestOldHTTP(t *testing.T) {
	r := bigOrigin(t, 4)
	d := start(t)
	d.pulled("m", r.Dir)
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /m HTTP/1.0\r\n\r\n")
	answer, err := io.ReadAll(conn)
	head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	if err != nil || len(body) < 4<<20 || !strings.Contains(head, fmt.Sprintf("Content-Length: %d", len(body))) {
		t.Errorf("%s\n%d bytes, %v", head, len(body), err)
	}
}
