package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Neutral is a directory with empty repositories, through which the objects of
// others are read: what a repository's own configuration or attributes say then
// cannot change the bytes of its archives.
type Neutral struct{ dir string }

// NewNeutral makes such a directory, or completes one.
func NewNeutral(dir string) (Neutral, error) {
	n := Neutral{dir}
	for idLength, config := range configs {
		repo := n.repo(idLength)
		for _, sub := range []string{"objects", "refs", "info"} {
			if err := os.MkdirAll(filepath.Join(repo, sub), 0o755); err != nil {
				return n, err
			}
		}
		for name, text := range map[string]string{
			"HEAD":            "ref: refs/heads/none\n",
			"config":          config,
			"info/attributes": "* -export-subst\n",
		} {
			if err := os.WriteFile(filepath.Join(repo, filepath.FromSlash(name)), []byte(text), 0o644); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (n Neutral) repo(idLength int) string {
	return filepath.Join(n.dir, fmt.Sprintf("ids-of-%d", idLength))
}

// Archive says what is to be archived.
type Archive struct {
	Commit string // a full id
	Path   string // only this file or directory, literally; empty for all
	Prefix string // put before every path; ends with a slash, or is empty

	// Subst expands $Format:…$ in files with the attribute export-subst. The bytes
	// then depend on the repository's refs, and on the time.
	Subst bool

	Patient bool // leave the CPU to others
}

// ErrNoPath is returned for a path that a commit does not have.
var ErrNoPath = errors.New("no such path")

// archiveMemory bounds what git allocates for one archive, in bytes: a tree of a
// hundred kilobytes can make it use gigabytes before it writes anything.
const archiveMemory = 2 << 30

// Tar writes a tar. Without Subst, the same commit, path and prefix give the same
// bytes whatever the repository. An error of w is returned as it is.
func (r Repo) Tar(ctx context.Context, neutral Neutral, a Archive, w io.Writer) error {
	c := command{
		name:    "archive",
		dir:     neutral.repo(len(a.Commit)),
		global:  []string{"--literal-pathspecs"},
		args:    []string{"--format=tar"},
		env:     []string{"GIT_OBJECT_DIRECTORY=" + filepath.Join(r.Dir, "objects")},
		stdout:  w,
		memory:  archiveMemory,
		patient: a.Patient,
	}
	if a.Prefix != "" {
		c.args = append(c.args, "--prefix="+a.Prefix)
	}
	c.args = append(c.args, a.Commit)
	if a.Path != "" {
		c.args = append(c.args, "--", a.Path)
	}
	var err error
	if a.Subst {
		err = r.inView(len(a.Commit), func(view Repo) error {
			c.dir, c.env = view.Dir, nil
			return r.git.run(ctx, c)
		})
	} else {
		err = r.git.run(ctx, c)
	}
	if e := (*Error)(nil); a.Path != "" && errors.As(err, &e) && e.Err == nil {
		// Git's words for it are cut off if the path is long, so it is asked once more.
		if ok, err := r.HasPath(ctx, a.Commit, a.Path); err == nil && !ok {
			return fmt.Errorf("%w: %q", ErrNoPath, a.Path)
		}
	}
	return err
}

// HasPath reports whether a commit has a file or directory at a path.
func (r Repo) HasPath(ctx context.Context, commit, path string) (bool, error) {
	out, err := r.git.output(ctx, command{
		name: "ls-tree", dir: r.Dir, global: []string{"--literal-pathspecs"},
		args: []string{"-z", "--full-tree", commit, "--", path},
	})
	return len(out) > 0, err
}
