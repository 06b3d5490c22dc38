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

// configs are those of empty repositories, by the length of their object ids.
var configs = map[int]string{
	40: "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
	64: "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n",
}

// partial is added for a repository that lacks objects which a remote has promised. It
// names one that cannot be asked for them.
const partial = "[extensions]\n\tpartialClone = nobody\n[remote \"nobody\"]\n\tpromisor = true\n"

// viewed are the parts of a repository that say what is in it, and not what git does.
var viewed = []string{"objects", "refs", "packed-refs", "shallow", "logs", "worktrees", "index"}

// A view is a repository with the content of another one and a configuration of ours.
// That of a mirror that was copied in can name programs (filters, proxies of git://,
// what is to be asked before objects are let go of) and send a fetch elsewhere
// (url.….insteadOf, http.<url>.proxy). Most of that is bound to names that nobody can
// foresee, so no setting of ours overrides it. Commands that heed it work in a view; the
// others do not, since they must work on a full disk, too.

// plainLine is a line of the configuration that Init makes, and says nothing about what git
// does. A line that goes on in the next one ends with a backslash, and a value in quotes or
// with a comment is not written so.
var plainLine = regexp.MustCompile(`^\t(repositoryformatversion = [01]|filemode = (true|false)|bare = true|objectformat = sha256|url = [^"#;\\]*)$|^\[(core|extensions|remote "origin")\]$`)

// isPlain reports whether a configuration is such as Init makes.
func isPlain(config string) bool {
	for line := range strings.Lines(config) {
		if !plainLine.MatchString(strings.TrimSuffix(line, "\n")) {
			return false
		}
	}
	return true
}

// inViewIfNeeded is inView for a repository that was copied in. In one of our own, commands
// that heed nothing but the configuration can work as it is.
func (r Repo) inViewIfNeeded(idLength int, work func(Repo) error) error {
	if r.isOurs() {
		return work(r)
	}
	return r.inView(idLength, work)
}

// isOurs reports whether nothing in the repository says what git is to do but what Init has
// written.
func (r Repo) isOurs() bool {
	config, err := os.ReadFile(filepath.Join(r.Dir, "config"))
	_, graftErr := os.Lstat(filepath.Join(r.Dir, "info", "grafts"))
	return err == nil && isPlain(string(config)) && errors.Is(graftErr, fs.ErrNotExist)
}

// inView has commands work in a view of a repository whose object ids have that length.
func (r Repo) inView(idLength int, work func(view Repo) error) error {
	return r.inViewOf(viewing{parts: viewed, promises: true}, idLength, work)
}

// viewing says what a view shows.
type viewing struct {
	parts    []string // of the repository
	promises bool     // objects may be missing that a remote has promised
}

// inViewOf is inView of some parts of the repository.
func (r Repo) inViewOf(v viewing, idLength int, work func(view Repo) error) (err error) {
	config, ok := configs[idLength]
	if !ok {
		return fmt.Errorf("there are no object ids of %d digits", idLength)
	}
	promised, err := filepath.Glob(filepath.Join(globQuote(r.Dir), "objects", "pack", "*.promisor"))
	if err != nil {
		return err
	}
	if v.promises && len(promised) > 0 {
		config += partial
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
		"HEAD":   head.text(), // git would take a link for a HEAD of its first years
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
	// Git writes the file shallow through the link, but when it removes it, it removes the link
	// alone. Then the file goes here.
	if _, gone := os.Lstat(filepath.Join(dir, "shallow")); errors.Is(gone, fs.ErrNotExist) && slices.Contains(v.parts, "shallow") {
		if err := os.Remove(filepath.Join(r.Dir, "shallow")); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
