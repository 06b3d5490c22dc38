package tests

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/internal/pktline"
	"github.com/reconquest/sould/tests/origin"
)

// bundle gets a bundle into a file by curl, with these options.
func (d *daemon) bundle(path string, options ...string) (file string) {
	d.t.Helper()
	file = filepath.Join(d.t.TempDir(), "m.bundle")
	args := append(append([]string{"--fail", "--silent", "--show-error", "--output", file}, options...), d.url+path)
	if out, err := exec.Command("curl", args...).CombinedOutput(); err != nil {
		d.t.Errorf("curl %v: %v\n%s", args, err, out)
	}
	return file
}

// TestBundle is a file of the whole history, of which git makes a clone.
func TestBundle(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"sha1", "sha256"} {
		r := origin.New(t, filepath.Join(t.TempDir(), "origin.git"), "--object-format="+format)
		r.Commit("main", map[string]string{"file": "1"})
		r.Commit("main", map[string]string{"file": "2"})
		dev := r.Commit("dev", map[string]string{"file": "dev"})
		r.Git("tag", "-a", "-m", "m", "v1", "main")
		d := start(t)
		d.pulled("my/mirror", r.Dir)
		clone := filepath.Join(t.TempDir(), "clone")
		in(t, "", "clone", "--quiet", "--mirror", d.bundle("/my/mirror?format=bundle"), clone)
		if got, want := refs(t, clone), refs(t, r.Dir); got != want {
			t.Errorf("%s: a clone of the bundle has\n%swant\n%s", format, got, want)
		}
		in(t, clone, "fsck", "--full", "--strict")
		work := filepath.Join(t.TempDir(), "work")
		in(t, "", "clone", "--quiet", d.bundle("/my/mirror?format=bundle&ref=dev"), work)
		if got := in(t, work, "for-each-ref", "--format=%(refname) %(objectname)", "refs/remotes/origin"); !strings.Contains(got, "origin/dev "+dev) || strings.Contains(got, "main") {
			t.Errorf("%s: a clone of the bundle of dev has %s", format, got)
		}
		if text, err := os.ReadFile(filepath.Join(work, "file")); string(text) != "dev" {
			t.Errorf("%s: it has %q, %v", format, text, err)
		}
		for _, ref := range []string{"v1", "refs/tags/v1"} {
			in(t, "", "bundle", "verify", "--quiet", d.bundle("/my/mirror?format=bundle&ref="+ref))
		}
	}
}

// TestBundleURI: git begins a clone with a bundle, and gets from the mirror what is newer.
func TestBundleURI(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	clone := d.clone("2", "m", "--bundle-uri="+d.url+"/m?format=bundle")
	if got := in(t, clone, "for-each-ref", "refs/bundles"); !strings.Contains(got, "refs/bundles/main") {
		t.Errorf("the clone has taken %q from the bundle", got)
	}
}

// TestBundleIsAFile with a length, an ETag and ranges: what was cut off is resumed.
func TestBundleIsAFile(t *testing.T) {
	t.Parallel()
	r := bigOrigin(t, 1)
	d := start(t)
	d.pulled("m", r.Dir)
	const path = "/m?format=bundle"
	head := d.do("HEAD", path, nil).expect(t, 200)
	if head.Header.Get("Etag") != "" {
		t.Error("nobody has made the bundle, and it has an ETag")
	}
	whole := d.get(path).expect(t, 200)
	etag := whole.Header.Get("Etag")
	for key, want := range map[string]string{
		"Content-Type": "application/x-git-bundle", "Content-Disposition": `attachment; filename="m.bundle"`, "Accept-Ranges": "bytes",
		"Cache-Control": "no-cache", "X-State": "success", "X-Revision": r.Git("rev-parse", "main"),
	} {
		if got := whole.Header.Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if etag == "" || strings.HasPrefix(etag, "W/") || whole.ContentLength != int64(len(whole.body)) {
		t.Errorf("the ETag is %s, the length %d of %d", etag, whole.ContentLength, len(whole.body))
	}
	if got := d.do("HEAD", path, nil).expect(t, 200); got.Header.Get("Etag") != etag || got.ContentLength != whole.ContentLength {
		t.Errorf("HEAD says %s, %d bytes", got.Header.Get("Etag"), got.ContentLength)
	}
	d.get(path, "If-None-Match", etag).expect(t, 304)
	d.get(path, "If-None-Match", "*").expect(t, 304)
	d.get(path, "If-Match", `"other"`).expect(t, 412)
	if got := d.get(path, "Range", "bytes=1000-", "If-Range", etag).expect(t, 206); string(got.body) != string(whole.body[1000:]) {
		t.Errorf("the rest has %d bytes", len(got.body))
	}
	if got := d.get(path, "Range", "bytes=1000-", "If-Range", `"other"`).expect(t, 200); string(got.body) != string(whole.body) {
		t.Errorf("what has changed has %d bytes", len(got.body))
	}
	half := filepath.Join(t.TempDir(), "half.bundle")
	if err := os.WriteFile(half, whole.body[:len(whole.body)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("curl", "--fail", "--silent", "-C", "-", "--output", half, d.url+path).CombinedOutput(); err != nil {
		t.Errorf("resume: %v\n%s", err, out)
	}
	in(t, "", "bundle", "verify", "--quiet", half)

	r.Commit("main", map[string]string{"file": "new"})
	d.pulled("m", r.Dir)
	if got := d.get(path, "If-None-Match", etag).expect(t, 200); got.Header.Get("Etag") == etag {
		t.Error("after a push the bundle has the same ETag")
	}
}

// TestBundlesThatThereAreNot: what cannot be made is refused, and says why.
func TestBundlesThatThereAreNot(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	tip := r.Git("rev-parse", "main")
	shallow := filepath.Join(t.TempDir(), "shallow")
	r.Commit("main", map[string]string{"file": "2"})
	in(t, "", "clone", "--quiet", "--bare", "--depth=1", "file://"+r.Dir, shallow)
	d := start(t)
	d.pulled("m", r.Dir)
	d.pulled("shallow", shallow)
	d.pulled("empty", origin.New(t, filepath.Join(t.TempDir(), "empty.git")).Dir)
	for path, c := range map[string]struct {
		status int
		words  string
	}{
		"/m?format=bundle&path=file":                           {http.StatusBadRequest, "path"},
		"/m?format=bundle&prefix=x":                            {http.StatusBadRequest, "prefix"},
		"/m?format=bundle&ref=" + tip:                          {http.StatusBadRequest, "of a ref, and not of a commit id"},
		"/m?format=bundle&ref=none":                            {http.StatusNotFound, "no such branch"},
		"/none?format=bundle":                                  {http.StatusNotFound, "no such mirror"},
		"/empty?format=bundle":                                 {http.StatusConflict, "empty"},
		"/shallow?format=bundle":                               {http.StatusConflict, "shallow"},
		"/m?format=bundle&contains=" + strings.Repeat("1", 40): {http.StatusPreconditionFailed, "does not contain"},
	} {
		if got := d.get(path).expect(t, c.status); !strings.Contains(got.text(), c.words) {
			t.Errorf("%s: %s", path, got.text())
		}
	}
}

// offered asks as git does with which bundle a clone of the mirror may begin, and returns its path on
// the server; "" if there is none.
func (d *daemon) offered(name string) (path string) {
	d.t.Helper()
	const capability = "000fbundle-uri\n"
	list := d.do("POST", "/"+name+"/git-upload-pack", strings.NewReader(pkt("object-format=sha1\n")+pkt("command=bundle-uri\n")+"00010000"),
		"Content-Type", cloneRequest, "Git-Protocol", "version=2").expect(d.t, 200)
	lines := make(map[string]string)
	for p := pktline.NewReader(strings.NewReader(list.text())); ; {
		line, special, err := p.Next()
		if special == pktline.Flush {
			break
		}
		if err != nil {
			d.t.Fatalf("%q: %v", list.text(), err)
		}
		key, value, _ := strings.Cut(pktline.Text(line), "=")
		lines[key] = value
	}
	if len(lines) == 0 {
		return ""
	}
	greeting := d.get("/"+name+"/info/refs?service=git-upload-pack", "Git-Protocol", "version=2").expect(d.t, 200)
	relative, ok := strings.CutPrefix(lines["bundle.mirror.uri"], "../")
	if !ok || lines["bundle.version"] != "1" || lines["bundle.mode"] != "all" || !strings.Contains(greeting.text(), capability) {
		d.t.Errorf("the bundle is offered by %q, after %q", list.text(), greeting.text())
	}
	return strings.TrimSuffix("/"+name, filepath.Base(name)) + relative
}

// TestBundleIsOffered to those who clone a large mirror, and only while it is there.
func TestBundleIsOffered(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t, `bundle_from = 1`, tokenLine)
	d.postWithToken("my/m+1", r.Dir).expect(t, 200)
	var path string
	eventually(t, "a bundle is offered", func() bool { path = d.offered("my/m+1"); return path != "" })
	in(t, "", "bundle", "verify", "--quiet", d.bundle(path))
	whole := d.get(path).expect(t, 200)
	if cached := whole.Header.Get("Cache-Control"); !strings.Contains(cached, "immutable") {
		t.Errorf("Cache-Control is %q", cached)
	}
	d.get(path, "Range", "bytes=10-", "If-Range", whole.Header.Get("Etag")).expect(t, 206)
	d.get(path, "If-None-Match", whole.Header.Get("Etag")).expect(t, 304)
	beginsWithBundle(t, d.url+"/my/m+1", r)
	beginsWithBundle(t, d.url+"/my/m+1.git/", r)

	r.Commit("main", map[string]string{"file": "new"})
	d.postWithToken("my/m+1", r.Dir).expect(t, 200)
	if got := d.offered("my/m+1"); got != path {
		t.Errorf("after a push %q is offered, and not %q, which saves most of the work", got, path)
	}
	beginsWithBundle(t, d.url+"/my/m+1", r)
	d.get(path[:len(path)-64]+strings.Repeat("0", 64)).expect(t, 404).contains(t, "not kept any more")

	d.stop()
	d.run() // the bundle is of refs that are not known any more
	eventually(t, "a bundle of today's refs", func() bool { path = d.offered("my/m+1"); return path != "" })
	d.stop()
	d.run() // and here it is
	eventually(t, "the same bundle", func() bool { return d.offered("my/m+1") == path })

	d.reload(`bundle_from = "0"`, tokenLine)
	if got := d.offered("my/m+1"); got != "" {
		t.Errorf("it is turned off, and %q is offered", got)
	}
	greeting := d.get("/my/m+1/info/refs?service=git-upload-pack", "Git-Protocol", "version=2").expect(t, 200)
	if strings.Contains(greeting.text(), "bundle-uri") {
		t.Errorf("it is turned off, and a client is greeted with %q", greeting.text())
	}
	d.reload(`bundle_from = 1`, tokenLine)
	d.remove("my/m+1").expect(t, 200)
	d.get(path).expect(t, 404)
}

// beginsWithBundle clones with the bundle that the server offers, if git can do that.
func beginsWithBundle(t *testing.T, url string, r *origin.Repo) {
	t.Helper()
	var major, minor int
	if _, err := fmt.Sscanf(in(t, "", "version"), "git version %d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	if major == 2 && minor < 40 {
		t.Log("this git does not ask for bundles")
		return
	}
	clone := filepath.Join(t.TempDir(), "clone")
	if out, err := gitClient("2", "-c", "transfer.bundleURI=true", "clone", "--quiet", url, clone); err != nil || out != "" {
		t.Errorf("clone: %v\n%s", err, out)
	}
	if got := in(t, clone, "for-each-ref", "refs/bundles"); !strings.Contains(got, "refs/bundles/main") {
		t.Errorf("the clone of %s has taken %q from the bundle", url, got)
	}
	if got, want := in(t, clone, "rev-parse", "HEAD"), r.Git("rev-parse", "main"); got != want {
		t.Errorf("the clone of %s is at %s, want %s", url, got, want)
	}
}

// TestWhichBundlesAreNotOffered: of a small mirror, a shallow and an empty one, and one that is too large
// for the cache. The mirrors are looked at in the order of their pulls.
func TestWhichBundlesAreNotOffered(t *testing.T) {
	t.Parallel()
	small, large := newOrigin(t), bigOrigin(t, 1) // 500 kB
	shallow := filepath.Join(t.TempDir(), "shallow")
	in(t, "", "clone", "--quiet", "--bare", "--depth=1", "file://"+large.Dir, shallow)
	empty := origin.New(t, filepath.Join(t.TempDir(), "empty.git"))
	for name, c := range map[string]struct {
		lines    []string
		not      map[string]string
		is, last string
	}{
		"from 300 kB on":     {[]string{`bundle_from = "300kB"`}, map[string]string{"small": small.Dir, "shallow": shallow, "empty": empty.Dir}, "large", large.Dir},
		"in a cache of half": {[]string{`bundle_from = 1`, `cache_size = "600kB"`}, map[string]string{"large": large.Dir}, "small", small.Dir},
	} {
		d := start(t, c.lines...)
		for mirror, dir := range c.not {
			d.pulled(mirror, dir)
		}
		d.pulled(c.is, c.last)
		eventually(t, name+": a bundle is offered", func() bool { return d.offered(c.is) != "" })
		for mirror := range c.not {
			if got := d.offered(mirror); got != "" {
				t.Errorf("%s: of %s there is %q", name, mirror, got)
			}
		}
	}
}
