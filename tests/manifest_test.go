package tests

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// manifestEntry is what grokmirror's clients read of a mirror.
type manifestEntry struct {
	Fingerprint, Head, Description string
	Modified                       int64
}

// manifest is what GET /x/manifest.js.gz says.
func (d *daemon) manifest() (all map[string]manifestEntry, a answer) {
	d.t.Helper()
	a = d.get("/x/manifest.js.gz").expect(d.t, 200, "Content-Type", "application/gzip")
	z, err := gzip.NewReader(bytes.NewReader([]byte(a.text())))
	if err == nil {
		err = json.NewDecoder(z).Decode(&all)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return all, a
}

func TestManifest(t *testing.T) {
	t.Parallel()
	r, _, url := served(t)
	r.Commit("other", map[string]string{"file": "2"})
	r.Git("tag", "-a", "-m", "v", "v1", "main")
	d := start(t)
	d.waitRead()
	if all, _ := d.manifest(); len(all) != 0 {
		t.Errorf("without a mirror it has %v", all)
	}
	d.pulled("my/m", url)
	all, first := d.manifest()
	shown := origin.Command("--git-dir="+filepath.Join(t.TempDir(), "mirror"), "show-ref")
	if out, err := origin.Command("clone", "-q", "--mirror", d.url+"/my/m.git", strings.TrimPrefix(shown.Args[1], "--git-dir=")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := shown.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := manifestEntry{fmt.Sprintf("%x", sha1.Sum(out)), "ref: refs/heads/main", "mirror of " + url, all["/my/m.git"].Modified}
	if len(all) != 1 || all["/my/m.git"] != want || want.Modified == 0 {
		t.Errorf("it has %+v, want %+v", all, want)
	}

	// Nothing has changed, also after one more pull.
	d.pulled("my/m", url)
	etag, modified := first.Header.Get("Etag"), first.Header.Get("Last-Modified")
	d.get("/x/manifest.js.gz", "If-None-Match", etag).expect(t, 304)
	d.get("/x/manifest.js.gz", "If-Modified-Since", modified).expect(t, 304)

	// Something has: each of both conditions tells.
	r.Commit("main", map[string]string{"file": "3"})
	d.pulled("my/m", url)
	d.get("/x/manifest.js.gz", "If-None-Match", etag).expect(t, 200)
	d.get("/x/manifest.js.gz", "If-Modified-Since", modified).expect(t, 200)
	if all, second := d.manifest(); all["/my/m.git"].Fingerprint == want.Fingerprint || second.Header.Get("Last-Modified") == modified {
		t.Errorf("after a push it has %+v, of %s", all, second.Header.Get("Last-Modified"))
	}
	d.do("POST", "/x/manifest.js.gz", nil).expect(t, 405)

	// The name of another mirror is the path of none but that.
	_, _, other := served(t)
	d.pulled("my/m.git", other)
	if all, _ := d.manifest(); len(all) != 2 || all["/my/m"].Description != "mirror of "+url || all["/my/m.git.git"].Description != "mirror of "+other {
		t.Errorf("with a mirror whose name ends in .git it has %+v", all)
	}
	d.reload(`read_token = "a-token-for-who-reads"`)
	d.get("/x/manifest.js.gz").expect(t, 401)
	d.get("/x/manifest.js.gz", "Authorization", "Bearer a-token-for-who-reads").expect(t, 200)
}

// TestManifestOfAnother has a sould mirror what another one has.
func TestManifestOfAnother(t *testing.T) {
	t.Parallel()
	_, _, url := served(t)
	first := start(t)
	first.pulled("my/m", url)
	first.pulled("my/a~b@c+d", url)
	second := start(t, "master = true", fmt.Sprintf("[[discover]]\nforge = \"grokmirror\"\nurl = %q\nsite = %q\nprefix = \"of/\"", first.url+"/x/manifest.js.gz", first.url))
	second.wait("INFO discovered .*new=2")
	second.get("/of/my/m").expect(t, 200)
	second.get("/of/my/a~b@c+d").expect(t, 200)
}

// TestGrokPull has grokmirror's own client mirror what is here.
func TestGrokPull(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("grok-pull"); err != nil {
		t.Skip("grok-pull (of grokmirror) is not installed")
	}
	r, _, url := served(t)
	d := start(t)
	d.pulled("my/m", url)
	top := t.TempDir()
	conf := filepath.Join(top, "grokmirror.conf")
	text := fmt.Sprintf("[core]\ntoplevel = %s/here\nmanifest = %s/manifest.js.gz\nlog = %s/log\n[remote]\nsite = %s\nmanifest = %s/x/manifest.js.gz\n[pull]\ninclude = *\n",
		top, top, top, d.url, d.url)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(top, "here"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		cmd := exec.Command("grok-pull", "-v", "-c", conf)
		cmd.Env = append(environ(), "HOME="+top)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got, want := refs(t, filepath.Join(top, "here", "my", "m.git")), refs(t, r.Dir); got != want {
			t.Fatalf("it has\n%s\nwant\n%s", got, want)
		}
		r.Commit("main", map[string]string{"file": "4"})
		d.pulled("my/m", url)
	}
}
