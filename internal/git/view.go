package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// emptyConfigs are the configurations of empty repositories, by the length of their object ids
// in hex digits.
var emptyConfigs = map[int]string{
	40: "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
	64: "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n",
}

// partialConfig is added if the repository lacks objects that a remote has promised
// (gitrepository-layout(5), partial clone). It names a remote that cannot be asked for them.
const partialConfig = "[extensions]\n\tpartialClone = nobody\n[remote \"nobody\"]\n\tpromisor = true\n"

// viewParts are the parts of a repository that are its content, and do not control git.
var viewParts = []string{"objects", "refs", "packed-refs", "shallow", "logs", "worktrees", "index"}

// A view is a repository with the content of another one and a configuration of our own. The
// configuration of a mirror that was copied in can name programs (filters, proxies for git://,
// the hook that permits to drop objects) and send a fetch elsewhere (url.….insteadOf,
// http.<url>.proxy). Most of these keys contain names that nobody can foresee, so no setting of
// ours can override them. Commands that read such keys work in a view. The others do not,
// because they must work on a full disk, too.

// plainLine is a line that Init writes into a configuration, which has no effect on what git
// does. A line that continues on the next one (a backslash at the end) is none, nor is a value
// with quotes or a comment.
var plainLine = regexp.MustCompile(`^\t(repositoryformatversion = [01]|filemode = (true|false)|bare = true|objectformat = sha256|url = [^"#;\\]*)$|^\[(core|extensions|remote "origin")\]$`)

// isPlain reports whether a configuration consists of lines that Init writes.
func isPlain(config string) bool {
	for line := range strings.Lines(config) {
		if !plainLine.MatchString(strings.TrimSuffix(line, "\n")) {
			return false
		}
	}
	return true
}

// inViewIfNeeded is inView for a repository that was copied in. Our own repositories are used
// directly by commands that read nothing dangerous but the configuration.
func (r Repo) inViewIfNeeded(idLength int, work func(Repo) error) error {
	if r.isOurs() {
		return work(r)
	}
	return r.inView(idLength, work)
}

// isOurs reports whether only settings that Init has written control git in the repository.
func (r Repo) isOurs() bool {
	config, err := os.ReadFile(filepath.Join(r.Dir, "config"))
	_, graftErr := os.Lstat(filepath.Join(r.Dir, "info", "grafts"))
	return err == nil && isPlain(string(config)) && errors.Is(graftErr, fs.ErrNotExist)
}

// inView calls work with a view of the repository, whose object ids have this length.
func (r Repo) inView(idLength int, work func(view Repo) error) error {
	return r.inViewOf(viewOptions{parts: viewParts, promises: true}, idLength, work)
}

// viewOptions says what a view shows.
type viewOptions struct {
	parts    []string // of the repository
	promises bool     // objects that a remote has promised may be missing
}

// inViewOf is inView with options.
func (r Repo) inViewOf(v viewOptions, idLength int, work func(view Repo) error) (err error) {
	config, ok := emptyConfigs[idLength]
	if !ok {
		return fmt.Errorf("there are no object ids of %d digits", idLength)
	}
	promised, err := filepath.Glob(filepath.Join(globQuote(r.Dir), "objects", "pack", "*.promisor"))
	if err != nil {
		return err
	}
	if v.promises && len(promised) > 0 {
		config += partialConfig
	}
	head, err := r.readHead(Listing{})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(r.git.scratch, "view-")
	if err != nil {
		return err
	}
	defer func() {
		if left := os.RemoveAll(dir); err == nil {
			err = left
		}
	}()
	for name, text := range map[string]string{
		"config": config,
		"HEAD":   head.text(), // not a link, which git reads in another way
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, part := range v.parts {
		if err := os.Symlink(filepath.Join(r.Dir, part), filepath.Join(dir, part)); err != nil {
			return err
		}
	}
	if err := work(r.git.Repo(dir)); err != nil {
		return err
	}
	// Git writes the file shallow through the link, but removes the link alone. Then the file
	// is removed here.
	if _, gone := os.Lstat(filepath.Join(dir, "shallow")); errors.Is(gone, fs.ErrNotExist) && slices.Contains(v.parts, "shallow") {
		if err := os.Remove(filepath.Join(r.Dir, "shallow")); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
