package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	Commit string   // a full id
	Paths  []string // only these files and directories, without patterns; none for all
	Prefix string   // put before every path; empty or with a slash at the end

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

// Tar writes a tar. Without Subst, the same commit, paths and prefix give the same bytes for
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
	if len(a.Paths) > 0 {
		c.args = append(append(c.args, "--"), a.Paths...)
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
	if e := (*Error)(nil); len(a.Paths) > 0 && errors.As(err, &e) && e.Err == nil {
		// Git cuts its message off if the path is long, so look again.
		if missing, err := r.MissingPath(ctx, a.Commit, a.Paths); err == nil && missing >= 0 {
			return fmt.Errorf("%w: %q", ErrNoPath, a.Paths[missing])
		}
	}
	return r.withObjectsFault(err)
}

// withObjectsFault puts the reason before an error of git if the directory of the objects cannot be
// searched: git calls the neutral repository none then.
func (r Repo) withObjectsFault(err error) error {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Err != nil {
		return err
	}
	if _, fault := os.Stat(filepath.Join(r.Dir, "objects") + "/."); fault != nil {
		return fmt.Errorf("%v: %w", fault, err) // not a file that a caller might look for
	}
	return err
}

// MissingPath returns the index of the first path at which a commit has neither a file nor a
// directory, or -1 if it has all of them.
func (r Repo) MissingPath(ctx context.Context, commit string, paths []string) (int, error) {
	out, err := r.git.output(ctx, command{
		name: "ls-tree", dir: r.Dir, global: []string{"--literal-pathspecs"},
		// -t: a directory is listed also where a path leads on into it.
		args: append([]string{"-t", "-z", "--name-only", "--full-tree", commit, "--"}, paths...),
	})
	if err != nil {
		return -1, err
	}
	found := strings.Split(string(out), "\x00")
	return slices.IndexFunc(paths, func(path string) bool { return !slices.Contains(found, path) }), nil
}
