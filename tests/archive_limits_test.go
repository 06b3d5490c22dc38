package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLimitsOfAnArchive(t *testing.T) {
	r := bigOrigin(t, 2)
	d := start(t, `archive_limit = "1MiB"`, `retry = "1ms"`)
	d.pulled("m", r.Dir)
	for _, format := range []string{"tar", "tar.gz", "tar.zst", "zip"} {
		a, err := d.try("GET", "/m?format="+format, nil)
		if err == nil && a.err == nil && a.StatusCode != 500 {
			t.Errorf("%s: an archive over the limit: %s, %d bytes, as if it were whole", format, a.Status, len(a.body))
		}
	}
	d.get("/m?path=dir").expect(t, 200)
	d.wait(`it is larger than 1MiB \(archive_limit\)`)
	if cache := tree(t, filepath.Join(d.storage, ".sould", "cache")); strings.Count(cache, "\n") != 2 {
		t.Errorf("the cache holds\n%s", cache)
	}
	d.reload(`archive_timeout = "1ms"`, `retry = "1ms"`)
	if a, err := d.try("GET", "/m", nil); err == nil && a.err == nil && a.StatusCode != 500 {
		t.Errorf("an archive over the time: %s", a.Status)
	}
	d.reload()
	d.get("/m").expect(t, 200)
}

// TestTreesThatBreakGit: a commit of a few kilobytes whose archive would have
// billions of files, and one with 10,000 directories in each other.
func TestTreesThatBreakGit(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	blob := r.Git("rev-parse", "main:file")
	bomb := blob
	mode, kind := "100644", "blob"
	for range 10 {
		var tree strings.Builder
		for i := range 10 {
			fmt.Fprintf(&tree, "%s %s %s\tf%d\n", mode, kind, bomb, i)
		}
		bomb = r.GitIn(tree.String(), "mktree")
		mode, kind = "040000", "tree"
	}
	r.Git("update-ref", "refs/heads/bomb", r.Git("commit-tree", "-m", "m", bomb))
	var stream strings.Builder
	fmt.Fprintf(&stream, "commit refs/heads/deep\ncommitter T <t@e> 1 +0000\ndata 1\nx\nM 100644 %s %sf\n", blob, strings.Repeat("d/", 10_000))
	r.Import(stream.String())

	d := start(t, `archive_timeout = "30s"`, `archive_limit = "8MiB"`)
	d.pulled("m", r.Dir)
	a, err := d.try("GET", "/m?ref=bomb", nil)
	if err == nil && a.err == nil && a.StatusCode != 500 {
		t.Errorf("the bomb: %s, %d bytes, %v", a.Status, len(a.body), a.err)
	}
	if a := d.get("/m?ref=deep"); a.StatusCode != 200 || a.err != nil { // a git that can do it is welcome
		a.expect(t, 500).contains(t, "git archive died: segmentation fault")
	}
	d.get("/m").expect(t, 200)
}

// TestStalledReaders has readers that take in nothing, while others read.
func TestStalledReaders(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 8)
	d := start(t)
	d.pulled("m", r.Dir)
	for range 20 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /m HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	whole := d.get("/m").expect(t, 200)
	if again := d.get("/m").expect(t, 200); !bytes.Equal(again.body, whole.body) || len(whole.body) < 8<<20 {
		t.Errorf("%d and %d bytes", len(whole.body), len(again.body))
	}
}

// TestAClientThatLeavesStopsItsArchive: nobody else wants it. Git has sent half of it, and
// waits: however late the client leaves, the archive is not finished then.
func TestAClientThatLeavesStopsItsArchive(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 4)
	bin := t.TempDir()
	held := filepath.Join(bin, "held")
	script := "#!/bin/sh\nPATH=${PATH#*:}\ncase \"$*\" in *' archive '*) ;; *) exec git \"$@\";; esac\n" +
		"git \"$@\" | { head -c 2000000; while [ -e " + held + " ]; do sleep 0.05; done; cat; }\n"
	if err := errors.Join(os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755), os.WriteFile(held, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	d := prepare(t)
	d.env = append(d.env, "PATH="+bin+":"+os.Getenv("PATH"))
	d.run()
	d.pulled("m", r.Dir)
	request, err := http.NewRequest("GET", d.url+"/m?format=tar.gz", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(response.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	eventually(t, "an empty cache", func() bool {
		return strings.Count(tree(t, filepath.Join(d.storage, ".sould", "cache")), "\n") == 1
	})
	if err := os.Remove(held); err != nil {
		t.Fatal(err)
	}
	d.get("/m?path=dir").expect(t, 200)
}

// TestFullDisk fills a small file system up.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("can't mount a small file system here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	r := bigOrigin(t, 6) // its objects are half of that, its archive all of it
	d := prepare(t)
	d.storage = filepath.Join(dir, "storage")
	d.configure()
	d.run()
	d.pulled("m", r.Dir)
	small := d.get("/m?path=dir").expect(t, 200)
	// There is room for one, then for no more: older ones make room.
	whole := d.get("/m").expect(t, 200)
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	for _, format := range []string{"tar", "tar.gz", "tar.zst", "zip"} {
		a, err := d.try("GET", "/m?prefix=x&format="+format, nil)
		if err != nil || a.err != nil {
			continue // broken off: the client knows
		}
		if a.StatusCode != 200 || len(a.body) < 1<<20 {
			t.Errorf("%s on a full disk: %s\n%.500s", format, a.Status, a.text())
		}
	}
	if a := d.get("/m?prefix=y").expect(t, 200); len(a.body) < len(whole.body) || a.err != nil {
		t.Errorf("directly: %d bytes, %v", len(a.body), a.err)
	}
	if a := d.get("/m?path=dir").expect(t, 200); !bytes.Equal(a.body, small.body) {
		t.Error("another archive has changed")
	}
	// A pull fails with the reason and changes nothing.
	before := refs(t, d.mirror("m"))
	r.Commit("main", map[string]string{"new": strings.Repeat("x", 1<<20) + fmt.Sprint(time.Now())})
	if a := d.post("m", r.Dir); a.StatusCode != 500 && a.StatusCode != 200 {
		t.Errorf("a pull on a full disk: %s\n%s", a.Status, a.text())
	} else if a.StatusCode == 500 && refs(t, d.mirror("m")) != before {
		t.Error("a failed pull has changed refs")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	d.pulled("m", r.Dir)
	d.get("/m?prefix=z").expect(t, 200, "X-Revision", r.Git("rev-parse", "main"))
	d.fsck("m")
}

// fill makes a file as large as the disk allows.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4096} {
		for {
			if _, err := f.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
}
