package git

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// git fetch has the new objects indexed, which checks that each object is there that another one
// names, and then walks all of them once more, for it does not know whether they connect to the
// old ones. In a repository that is empty there are no old ones, and the walk finds nothing that
// the first check has not. It takes a single CPU, and a sixth of the time of a large transfer.
// git clone does without it where the first check has passed (--check-self-contained-and-connected
// in git-index-pack(1)), and walks where it has not. So the first transfer is a git clone, into a
// directory of its own, of which the objects are taken over.

// IsOrdinary reports whether git clone can write the refs: each can be a file or a directory of
// files, and HEAD names a branch.
func (l Listing) IsOrdinary() bool {
	names := make(map[string]bool, len(l.Refs))
	for _, ref := range l.Refs {
		names[ref.Name] = true
	}
	for name := range names {
		if !fitsFile(name) {
			return false
		}
		for i := range len(name) {
			if name[i] == '/' && names[name[:i]] {
				return false
			}
		}
	}
	return !l.Head.Detached()
}

// clone is transfer for an empty repository.
func (r Repo) clone(
	ctx context.Context, remote Remote, request fetchRequest, settings []string, progress func(Progress), found func(finding),
) error {
	place, err := os.MkdirTemp(filepath.Join(r.Dir, "objects"), "tmp_objdir-clone-") // Sweep knows it
	if err != nil {
		return err
	}
	defer os.RemoveAll(place)
	made := r.git.Repo(filepath.Join(place, "r"))
	c := command{
		name: "clone",
		dir:  place, // in which there is nothing that git could read
		// Without --quiet, as in transfer: else git tells no progress.
		args: []string{"--progress", "--bare", "--template=", "--no-local"},
	}
	c = c.transferring(settings, progress, found)
	if err := r.git.follow(ctx, c, remote, fetchRequest{into: made.Dir, FetchMode: FetchMode{Packs: request.Packs, Limit: request.Limit}}); err != nil {
		return err
	}
	missing, err := made.missing(ctx, request.ids)
	if err != nil {
		return err
	}
	if len(missing) > 0 { // other refs than branches and tags, and what was replaced in this moment
		if err := made.transfer(ctx, remote, fetchRequest{ids: missing, FetchMode: FetchMode{Packs: request.Packs, Limit: request.Limit}}, settings, progress, found); err != nil {
			return err
		}
	}
	return r.takeOver(made)
}

// missing returns which of these objects the repository lacks.
func (r Repo) missing(ctx context.Context, ids []string) (missing []string, err error) {
	objects, err := r.lookUp(ctx, ids)
	for i, o := range objects {
		if err == nil && o.id != ids[i] {
			missing = append(missing, ids[i])
		}
	}
	return missing, err
}

// takeOver moves the objects of another repository here, on the same file system, with the list
// of where their history is cut off. Without index files nobody finds a pack, so they come last.
func (r Repo) takeOver(from Repo) error {
	err := os.Rename(filepath.Join(from.Dir, "shallow"), filepath.Join(r.Dir, "shallow"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there := filepath.Join(from.Dir, "objects")
	var files, indexes []string
	err = filepath.WalkDir(there, func(path string, entry fs.DirEntry, err error) error {
		switch name, _ := filepath.Rel(there, path); {
		case err != nil:
			return err
		case name == "info":
			return fs.SkipDir
		case entry.IsDir():
		case strings.HasSuffix(name, ".idx"):
			indexes = append(indexes, name)
		default:
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range append(files, indexes...) {
		here := filepath.Join(r.Dir, "objects", name)
		if err := os.MkdirAll(filepath.Dir(here), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(there, name), here); err != nil {
			return err
		}
	}
	return nil
}
