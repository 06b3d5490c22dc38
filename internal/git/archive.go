package git

import (
	"context"
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
	for idLength, config := range map[int]string{
		40: "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
		64: "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n",
	} {
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

// Archive writes a tar of a commit, which must be a full id. The same commit
// gives the same bytes whatever the repository it is in. An error of w is
// returned as it is.
func (r Repo) Archive(ctx context.Context, neutral Neutral, commit string, w io.Writer) error {
	return r.git.run(ctx, command{
		name:   "archive",
		dir:    neutral.repo(len(commit)),
		global: []string{"--literal-pathspecs"},
		args:   []string{"--format=tar", commit},
		env:    []string{"GIT_OBJECT_DIRECTORY=" + filepath.Join(r.Dir, "objects")},
		stdout: w,
	})
}
