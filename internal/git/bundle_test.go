package git

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reconquest/sould/tests/origin"
)

// TestBundle: git clones from a bundle what was in the repository, and finds nothing missing.
func TestBundle(t *testing.T) {
	digests := make(map[string]string)
	for _, format := range []string{"sha1", "sha256"} {
		r := origin.New(t, filepath.Join(t.TempDir(), "r.git"), "--object-format="+format)
		r.Commit("main", map[string]string{"f": "1"})
		r.Commit("dev", map[string]string{"f": "2"})
		r.Git("tag", "-a", "-m", "m", "v1", "dev")
		r.Git("tag", "blob", "main:f")
		for what, head := range map[string]func(){
			"a branch": func() { r.Git("symbolic-ref", "HEAD", "refs/heads/main") },
			"a commit": func() {
				r.Git("update-ref", "--no-deref", "HEAD", r.Commit("gone", nil))
				r.Git("branch", "-D", "gone")
			},
			"none": func() { r.Git("symbolic-ref", "HEAD", "refs/heads/none") },
		} {
			head()
			repo := New(Options{AllowLocal: true}).Repo(r.Dir)
			listing, err := repo.Refs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := repo.Bundle(t.Context(), listing, &b); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "bundle")
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			clone := filepath.Join(t.TempDir(), "clone")
			if out, err := origin.Command("clone", "--quiet", "--mirror", file, clone).CombinedOutput(); err != nil {
				t.Fatalf("%s, HEAD is %s: %v\n%s", format, what, err, out)
			}
			show := func(dir string) string {
				out, err := origin.Command("--git-dir="+dir, "for-each-ref").Output()
				if err != nil {
					t.Fatal(err)
				}
				return string(out)
			}
			if got, want := show(clone), show(r.Dir); got != want {
				t.Errorf("%s, HEAD is %s: the clone has\n%swant\n%s", format, what, got, want)
			}
			if out, err := origin.Command("--git-dir="+clone, "fsck", "--full").CombinedOutput(); err != nil {
				t.Errorf("%s, HEAD is %s: %v\n%s", format, what, err, out)
			}
			if digest, err := BundleDigest(bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil || digests[digest] != "" {
				t.Errorf("%s, HEAD is %s: its digest is %q, as that of %s, %v", format, what, digest, digests[digest], err)
			} else {
				digests[digest] = what
			}
		}
	}
}

// TestABundleThatCannotBeMade is an error, also of the header's writer.
func TestABundleThatCannotBeMade(t *testing.T) {
	r := origin.New(t, filepath.Join(t.TempDir(), "r.git"))
	r.Commit("main", map[string]string{"f": "1"})
	repo := New(Options{}).Repo(r.Dir)
	absent := Listing{Refs: []Ref{{Name: "refs/heads/x", ID: strings.Repeat("1", 40)}}}
	if err := repo.Bundle(context.Background(), absent, &bytes.Buffer{}); err == nil {
		t.Error("a bundle of what is not there")
	}
	for _, cut := range []string{"", "# v2 git bundle\n", "# v2 git bundle\n" + strings.Repeat("1", 40) + " refs/heads/x\n"} {
		if digest, err := BundleDigest(strings.NewReader(cut), int64(len(cut))); err == nil {
			t.Errorf("%q has the digest %s", cut, digest)
		}
	}
}
