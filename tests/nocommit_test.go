package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBranchWithoutCommit: a branch, or a HEAD, of the origin that names something else is
// refused by name, and what is there is served on.
func TestBranchWithoutCommit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, file, object, says string }{
		{"a blob", "refs/heads/side", "main:file", "refs/heads/side"},
		{"a tree", "refs/heads/main", "main^{tree}", "refs/heads/main"},
		{"an annotated tag", "refs/heads/main", "v1", "refs/heads/main"},
		{"a tag that is known as such", "refs/heads/new", "v1", "refs/heads/new"},
		{"a HEAD of its own", "HEAD", "main:file", "HEAD"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			r := newOrigin(t)
			r.Git("tag", "-a", "-m", "one", "v1", "main")
			d := start(t, `retry = "1h"`)
			commit := r.Git("rev-parse", "main")
			d.pulled("m", r.Dir)
			before := refs(t, d.mirror("m"))
			name(t, r.Dir, c.file, r.Git("rev-parse", c.object))
			d.post("m", r.Dir).expect(t, 500).contains(t, c.says+" ", "commit")
			d.post("new", r.Dir).expect(t, 500).contains(t, c.says+" ", "commit")
			d.get("/m").expect(t, 200, "X-Revision", commit, "X-State", "failed")
			if after := refs(t, d.mirror("m")); after != before {
				t.Errorf("the refs were\n%sand are\n%s", before, after)
			}
		})
	}
}

// TestBranchWithoutCommitThere: a mirror that has had such a branch since an older sould
// says so, and is not taken for damaged.
func TestBranchWithoutCommitThere(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := start(t)
	d.pulled("m", r.Dir)
	for _, dir := range []string{r.Dir, d.mirror("m")} {
		name(t, dir, "refs/heads/side", r.Git("rev-parse", "main:file"))
	}
	d.get("/m?ref=side").expect(t, 404) // sould has not looked yet
	d.pulled("m", r.Dir)
	d.logged(" pulled ", 2)
	d.get("/m?ref=side").expect(t, 500).contains(t, "not a tree object")
	eventually(t, "a check", func() bool { return strings.Count(d.log.String(), " pulled ") > 2 })
	d.get("/m?ref=side&format=zip").expect(t, 500).contains(t, "not a tree object")
	if log := d.log.String(); strings.Contains(log, "rebuil") {
		t.Errorf("the mirror was rebuilt:\n%s", log)
	}
}

// name makes a ref name an object, whatever that is.
func name(t *testing.T, dir, ref, id string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(ref)), []byte(id+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}
