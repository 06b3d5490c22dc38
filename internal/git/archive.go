package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Neutral is a directory with empty repositories. Archives read the objects of a mirror through
// one of them, so that the mirror's own configuration and attributes cannot change the bytes.
type Neutral struct{ dir string }

// NewNeutral makes or completes such a directory.
func NewNeutral(dir string) (Neutral, error) {
	n := Neutral{dir}
	for idLength, config := range emptyConfigs {
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

// Archive says what to archive.
type Archive struct {
	Commit string // a full id
	Path   string // only this file or directory, without patterns; empty for all
	Prefix string // put before every path; empty or with a slash at the end

	// Subst expands $Format:…$ in files with the attribute export-subst (gitattributes(5)). The
	// bytes then depend on the repository's refs and on the time, too.
	Subst bool

	LowPriority bool // of the CPU
}

// ErrNoPath is returned for a path that a commit does not have.
var ErrNoPath = errors.New("no such path")

// archiveMemory is what git may allocate for one archive, in bytes. A tree object of a hundred
// kilobytes can make git use gigabytes before it writes anything.
const archiveMemory = 2 << 30

// Tar writes a tar. Without Subst, the same commit, path and prefix give the same bytes for
// every repository. Errors: [ErrNoPath], an [*Error], or an error of w as it is.
func (r Repo) Tar(ctx context.Context, neutral Neutral, a Archive, w io.Writer) error {
	c := command{
		name:        "archive",
		dir:         neutral.repo(len(a.Commit)),
		global:      []string{"--literal-pathspecs"},
		args:        []string{"--format=tar"},
		env:         []string{"GIT_OBJECT_DIRECTORY=" + filepath.Join(r.Dir, "objects")},
		stdout:      w,
		memory:      archiveMemory,
		lowPriority: a.LowPriority,
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
		// Git cuts its message off if the path is long, so look again.
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
