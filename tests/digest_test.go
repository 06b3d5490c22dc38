package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// reprDigest is the value of Repr-Digest for these bytes.
func reprDigest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func hexDigest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

const wantDigest = "Want-Repr-Digest"

// TestReprDigest: every finished archive comes with its digest, in whatever part it is asked for.
func TestReprDigest(t *testing.T) {
	r := bigOrigin(t, 4) // its digest is computed when it is finished, that of dir while it is made
	d := start(t)
	d.pulled("m", r.Dir)
	for _, query := range []string{"?format=tar", "?format=tar.zst", "?path=dir&format=zip", "?path=dir&path=README&format=tar.gz"} {
		d.do("HEAD", "/m"+query, nil, wantDigest, "sha-256=1").expect(t, 200, "Repr-Digest", "") // it is not made for that
		whole := d.get("/m"+query).expect(t, 200)
		want, tag := reprDigest(whole.body), whole.Header.Get("Etag")
		if got := whole.Header.Get("Repr-Digest"); got != "" && got != want { // it may have been finished at once
			t.Errorf("%s: the first one is said to be %s", query, got)
		}
		d.get("/m"+query).expect(t, 200, "Repr-Digest", want, "Content-Length", strconv.Itoa(len(whole.body)))
		d.do("HEAD", "/m"+query, nil).expect(t, 200, "Repr-Digest", want)
		d.get("/m"+query, "Range", "bytes=10-19").expect(t, 206, "Repr-Digest", want)
		d.get("/m"+query, "Range", "bytes=0-0,5-6").expect(t, 206, "Repr-Digest", want)
		d.get("/m"+query, "Range", "bytes=0-9", "If-Range", `"other"`).expect(t, 200, "Repr-Digest", want)
		d.get("/m"+query, "Range", "bytes=999999999-").expect(t, 416, "Repr-Digest", "")
		d.get("/m"+query, "If-None-Match", tag).expect(t, 304, "Repr-Digest", "") // it has no more than it must
		d.get("/m"+query, "If-Match", `"other"`).expect(t, 412, "Repr-Digest", "")
		for wish, digest := range map[string]string{
			"sha-256=10": want, "sha-512=3, sha-256=1": want, "sha-256=": want, "nonsense;;": want, "sha-256=99": want,
			"sha-256=0": "", "sha-512=3": "", "md5=1, unixsum=9": "",
		} {
			d.get("/m"+query, wantDigest, wish).expect(t, 200, "Repr-Digest", digest)
			if !slices.Contains([]string{"sha-256=10", "sha-512=3, sha-256=1"}, wish) {
				digest = ""
			}
			d.get("/m"+query, wantDigest, wish, "If-None-Match", tag).expect(t, 304, "Repr-Digest", digest)
		}
		// What is found after a restart is read once; a killed server has written down nothing more.
		eventually(t, "a finished archive", func() bool { return !strings.Contains(tree(t, filepath.Join(d.storage, ".sould", "cache")), ".part") })
		d.kill()
		d.run()
		d.get("/m"+query, wantDigest, "sha-256=10", "If-None-Match", tag).expect(t, 304, "Repr-Digest", "")
		d.do("HEAD", "/m"+query, nil).expect(t, 200, "Repr-Digest", want)
		d.get("/m"+query).expect(t, 200, "Repr-Digest", want, "Etag", tag)
	}
}

// TestWantReprDigest: who asks for the digest gets it with the first answer already, also together
// with many others.
func TestWantReprDigest(t *testing.T) {
	r := bigOrigin(t, 4)
	d := start(t)
	d.pulled("m", r.Dir)
	for i, format := range []string{"tar", "tar.gz", "tar.zst", "zip"} {
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				a := d.get("/m?format="+format, wantDigest, "sha-256=10").expect(t, 200)
				a.expect(t, 200, "Repr-Digest", reprDigest(a.body), "Content-Length", strconv.Itoa(len(a.body)))
			})
			clients.Go(func() { d.get("/m?format="+format).expect(t, 200) })
		}
		clients.Wait()
		a := d.get(fmt.Sprintf("/m?prefix=alone-%d&format=%s", i, format), wantDigest, "sha-256=1").expect(t, 200)
		a.expect(t, 200, "Repr-Digest", reprDigest(a.body))
	}
	// Who has no use for it does not wait.
	d.get("/m?prefix=stream", wantDigest, "sha-256=0").expect(t, 200, "Repr-Digest", "", "Content-Length", "")
	d.get("/m?path=none", wantDigest, "sha-256=1").expect(t, 404, "Repr-Digest", "")

	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /m?prefix=old HTTP/1.0\r\n%s: sha-256=1\r\n\r\n", wantDigest)
	answer, err := io.ReadAll(conn)
	head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	if err != nil || !strings.Contains(head, "Repr-Digest: "+reprDigest([]byte(body))) {
		t.Errorf("over HTTP/1.0: %s\n%d bytes, %v", head, len(body), err)
	}
}

// TestDigestsOfBundles: a bundle comes with its digest at once, since it is sent when it is finished.
func TestDigestsOfBundles(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 2)
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.pulled("team/m", r.Dir)
	const path, sum = "/team/m?format=bundle", "/team/m?format=bundle.sha256"
	length := strconv.Itoa(2*sha256.Size + len("  m.bundle\n"))
	before := calls()
	d.do("HEAD", path, nil, wantDigest, "sha-256=1").expect(t, 200, "Repr-Digest", "", "Etag", "") // it is not made for that
	d.do("HEAD", sum, nil).expect(t, 200, "Content-Length", length, "Content-Type", "text/plain; charset=utf-8")
	if n := calls() - before; n != 0 {
		t.Errorf("git was started %d times for a HEAD", n)
	}
	first := d.get(sum).expect(t, 200, "Content-Type", "text/plain; charset=utf-8", "Content-Length", length,
		"Content-Disposition", `attachment; filename="m.bundle.sha256"`, "Cache-Control", "no-cache")
	whole := d.get(path).expect(t, 200, "X-Revision", first.Header.Get("X-Revision"))
	if n := calls() - before; n != 1 {
		t.Errorf("git was started %d times for a bundle and its digest", n)
	}
	if want := hexDigest(whole.body) + "  m.bundle\n"; first.text() != want {
		t.Errorf("%q, want %q", first.text(), want)
	}
	want, tag, sumTag := reprDigest(whole.body), whole.Header.Get("Etag"), first.Header.Get("Etag")
	whole.expect(t, 200, "Repr-Digest", want)
	d.do("HEAD", path, nil).expect(t, 200, "Repr-Digest", want)
	d.do("HEAD", sum, nil).expect(t, 200, "Repr-Digest", "", "Etag", sumTag, "Content-Length", length)
	d.get(path, "Range", "bytes=10-19").expect(t, 206, "Repr-Digest", want)
	d.get(path, "Range", "bytes=999999999-").expect(t, 416, "Repr-Digest", "")
	d.get(path, wantDigest, "sha-512=1").expect(t, 200, "Repr-Digest", "")
	d.get(path, "If-None-Match", tag).expect(t, 304, "Repr-Digest", "")
	d.get(path, "If-None-Match", tag, wantDigest, "sha-256=1").expect(t, 304, "Repr-Digest", want)
	d.get(path, "If-None-Match", sumTag).expect(t, 200)
	d.get(sum, "If-None-Match", tag).expect(t, 200)
	d.get(sum, "If-None-Match", sumTag, wantDigest, "sha-256=1").expect(t, 304, "Repr-Digest", "")
	one := d.get(path+"&ref=main", wantDigest, "sha-256=1").expect(t, 200)
	one.expect(t, 200, "Repr-Digest", reprDigest(one.body))
	d.get("/team/m?format=bundle.sha256&path=dir").expect(t, 400).contains(t, "path")
	d.get("/team/m?format=bundle.sha256&id="+strings.Repeat("1", 64)).expect(t, 404)

	// What is found after a restart is read once.
	files := filepath.Join(d.storage, ".sould", "cache")
	eventually(t, "a finished bundle", func() bool { return !strings.Contains(tree(t, files), ".part") })
	d.kill()
	d.run()
	d.get(path, "If-None-Match", tag, wantDigest, "sha-256=1").expect(t, 304, "Repr-Digest", "")
	d.get(path).expect(t, 200, "Repr-Digest", want, "Etag", tag)
	d.get(sum).expect(t, 200, "Etag", sumTag).contains(t, first.text())
	d.get(path, "If-None-Match", tag, wantDigest, "sha-256=1").expect(t, 304, "Repr-Digest", "")

	// What somebody has written into, or removed, is made again.
	for what, change := range map[string]func(string) error{
		"removed":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 1000) },
		"changed": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte("changed"), int64(len(whole.body)/2))
				f.Close()
			}
			return err
		},
	} {
		bundles, err := filepath.Glob(filepath.Join(files, "*"))
		for _, file := range bundles {
			err = errors.Join(err, change(file))
		}
		if err != nil || len(bundles) == 0 {
			t.Fatal(len(bundles), err)
		}
		if what == "removed" { // an open file is still there
			d.kill()
			d.run()
		}
		a := d.get(path).expect(t, 200)
		a.expect(t, 200, "Repr-Digest", reprDigest(a.body))
		if len(a.body) != len(whole.body) || strings.Contains(a.text(), "changed") {
			t.Errorf("%s: %d bytes are sent, want %d", what, len(a.body), len(whole.body))
		}
		eventually(t, "a finished bundle", func() bool { return !strings.Contains(tree(t, files), ".part") })
	}
}

// TestSums: .sha256 after the format asks for the digest alone.
func TestSums(t *testing.T) {
	if _, err := exec.LookPath("sha256sum"); err != nil {
		t.Skip("no sha256sum on this machine")
	}
	r := bigOrigin(t, 2)
	d := prepare(t)
	calls := d.countGit()
	d.run()
	d.pulled("team/m", r.Dir)
	dir := t.TempDir()
	tags := make(map[string]bool)
	for _, format := range []string{"tar", "tar.gz", "tar.zst", "zip"} {
		query := "/team/m?path=big&path=README&format=" + format
		head := d.do("HEAD", query+".sha256", nil).expect(t, 200)
		before := calls()
		sum := d.get(query+".sha256").expect(t, 200, "Content-Type", "text/plain; charset=utf-8",
			"Content-Disposition", `attachment; filename="m.`+format+`.sha256"`, "Content-Length", head.Header.Get("Content-Length"))
		if n := calls() - before; n != 1 {
			t.Errorf("%s: git was started %d times", format, n)
		}
		whole := d.get(query).expect(t, 200, "X-Revision", sum.Header.Get("X-Revision"), "Repr-Digest", "sha-256=:"+encoded(t, sum.text()[:64])+":")
		d.get(query+".sha256").expect(t, 200, "Etag", sum.Header.Get("Etag"))
		if n := calls() - before; n != 1 {
			t.Errorf("%s: git was started %d times for what is warm", format, n)
		}
		if want := hexDigest(whole.body) + "  m." + format + "\n"; sum.text() != want {
			t.Errorf("%s: %q, want %q", format, sum.text(), want)
		}
		err := errors.Join(os.WriteFile(filepath.Join(dir, "m."+format), whole.body, 0o644),
			os.WriteFile(filepath.Join(dir, "sums"), sum.body, 0o644))
		if err != nil {
			t.Fatal(err)
		}
		check := exec.Command("sha256sum", "--check", "--strict", "sums")
		check.Dir = dir
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", format, err, out)
		}
		for _, a := range []answer{sum, whole} {
			if tag := a.Header.Get("Etag"); tags[tag] || !strings.HasPrefix(tag, `"`) {
				t.Errorf("%s: the ETag %s", format, tag)
			} else {
				tags[tag] = true
			}
		}
		d.get(query+".sha256", "If-None-Match", sum.Header.Get("Etag")).expect(t, 304, "Repr-Digest", "")
		d.get(query+".sha256", "If-None-Match", whole.Header.Get("Etag")).expect(t, 200)
		d.get(query, "If-None-Match", sum.Header.Get("Etag")).expect(t, 200)
	}
	d.get("/team/m?path=none&format=zip.sha256").expect(t, 404, "Etag", "", "Content-Disposition", "").contains(t, "no such path")
	d.do("HEAD", "/team/m?path=none&format=zip.sha256", nil).expect(t, 404)
	d.get("/team/m?path=none&format=tar.sha256", "If-None-Match", "*").expect(t, 404)
	d.get("/team/m?format=sha256").expect(t, 400).contains(t, "tar.sha256")
	// It is made ahead for who asks for its digest only.
	tip := r.Commit("main", map[string]string{"README": "2"})
	cache := filepath.Join(d.storage, ".sould", "cache")
	files := strings.Count(tree(t, cache), "\n")
	d.pulled("team/m", r.Dir)
	eventually(t, "what is made ahead", func() bool {
		return strings.Count(tree(t, cache), "\n") == files+4 && !strings.Contains(tree(t, cache), ".part")
	})
	before := calls()
	d.get("/team/m?path=big&path=README&format=zip.sha256").expect(t, 200, "X-Revision", tip)
	if n := calls() - before; n != 0 {
		t.Errorf("git was started %d times for what was made ahead", n)
	}
}

// encoded is a digest in hexadecimal digits as base64.
func encoded(t *testing.T, digits string) string {
	t.Helper()
	raw, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// TestDigestsOfChangedFiles: what somebody has changed on disk is noticed, and made again.
func TestDigestsOfChangedFiles(t *testing.T) {
	for what, change := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, 100) },
		"written over": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte("changed"), 600)
				f.Close()
			}
			return err
		},
	} {
		for _, megabytes := range []int{0, 2} {
			r := bigOrigin(t, megabytes)
			d := start(t)
			d.pulled("m", r.Dir)
			cache := filepath.Join(d.storage, ".sould", "cache")
			whole := d.get("/m").expect(t, 200)
			want := reprDigest(whole.body)
			eventually(t, "a finished archive", func() bool { return !strings.Contains(tree(t, cache), ".part") })
			d.do("HEAD", "/m", nil).expect(t, 200, "Repr-Digest", want)
			for again := range 2 { // the second time after a restart
				files, err := filepath.Glob(filepath.Join(cache, "*"))
				if err != nil || len(files) != 1 {
					t.Fatalf("%s: the cache has %q, %v", what, files, err)
				}
				if again == 1 {
					d.stop()
					d.run()
					d.do("HEAD", "/m", nil).expect(t, 200, "Repr-Digest", want)
				}
				if err := change(files[0]); err != nil {
					t.Fatal(err)
				}
				for _, method := range []string{"GET", "HEAD"} {
					a := d.do(method, "/m", nil).expect(t, 200)
					if digest := a.Header.Get("Repr-Digest"); method == "GET" && !bytes.Equal(a.body, whole.body) || digest != "" && digest != want {
						t.Errorf("%s of one that was %s: %d bytes of %d, said to be %s", method, what, len(a.body), len(whole.body), digest)
					}
				}
				if a := d.get("/m?format=tar.sha256").expect(t, 200); a.text() != hexDigest(whole.body)+"  m.tar\n" {
					t.Errorf("%s: the digest is %s", what, a.text())
				}
				d.get("/m", "Range", "bytes=0-9").expect(t, 206, "Repr-Digest", want)
				eventually(t, "a finished archive", func() bool { return !strings.Contains(tree(t, cache), ".part") })
			}
			if made := strings.Count(d.log.String(), "changed by somebody else"); made != 1 {
				t.Errorf("%s: the log tells of it %d times\n%s", what, made, d.log)
			}
		}
	}
}

// TestDigestsWithExportSubst: the bytes are this server's own, and so is their digest.
func TestDigestsWithExportSubst(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	r.Commit("main", map[string]string{".gitattributes": "version export-subst\n", "version": "$Format:%H %d$"})
	d := start(t, "export_subst = true")
	d.pulled("m", r.Dir)
	a := d.get("/m", wantDigest, "sha-256=1").expect(t, 200)
	a.expect(t, 200, "Repr-Digest", reprDigest(a.body))
	d.get("/m").expect(t, 200, "Repr-Digest", reprDigest(a.body), "Accept-Ranges", "none")
	d.get("/m", wantDigest, "sha-256=10", "If-None-Match", a.Header.Get("Etag")).expect(t, 304, "Repr-Digest", "")
	sum := d.get("/m?format=tar.sha256").expect(t, 200)
	if tag := sum.Header.Get("Etag"); !strings.HasPrefix(tag, `W/"`) || tag == a.Header.Get("Etag") || !strings.HasPrefix(sum.text(), hexDigest(a.body)) {
		t.Errorf("%s has the ETag %s", sum.text(), tag)
	}
	r.Git("tag", "v1.0") // which is in the bytes
	d.pulled("m", r.Dir)
	b := d.get("/m", wantDigest, "sha-256=1").expect(t, 200)
	if b.expect(t, 200, "Repr-Digest", reprDigest(b.body)); bytes.Equal(a.body, b.body) {
		t.Error("nothing was expanded")
	}
	d.get("/m?format=tar.sha256", "If-None-Match", sum.Header.Get("Etag")).expect(t, 200).contains(t, hexDigest(b.body))
}

// TestDigestsOfWhatCannotBeMade: a failure is told as such, and not as a digest of a part.
func TestDigestsOfWhatCannotBeMade(t *testing.T) {
	r := bigOrigin(t, 2)
	d := start(t, `archive_limit = "1MiB"`, `retry = "1ms"`)
	d.pulled("m", r.Dir)
	d.get("/m?format=tar.sha256").expect(t, 500, "Etag", "").contains(t, "archive_limit")
	d.get("/m", wantDigest, "sha-256=1").expect(t, 500, "Repr-Digest", "")
	d.get("/m?path=dir&format=tar.sha256").expect(t, 200)
}

// TestDigestsOnAFullDisk: there the digest is computed of what is not kept.
func TestDigestsOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("can't mount a small file system here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	r := bigOrigin(t, 6)
	d := prepare(t)
	d.storage = filepath.Join(dir, "storage")
	d.configure()
	d.run()
	d.pulled("m", r.Dir)
	fill(t, filepath.Join(dir, "filler"))
	sum := d.get("/m?format=tar.sha256").expect(t, 200)
	whole := d.get("/m", wantDigest, "sha-256=1").expect(t, 200, "Repr-Digest", "")
	if want := hexDigest(whole.body) + "  m.tar\n"; sum.text() != want {
		t.Errorf("%q, want %q", sum.text(), want)
	}
	d.reload("export_subst = true") // each time it is made it may be something else
	d.get("/m?format=tar.sha256").expect(t, 503)
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	d.reload()
	eventually(t, "room", func() bool {
		return d.get("/m", wantDigest, "sha-256=1").Header.Get("Repr-Digest") == reprDigest(whole.body)
	})
}
