package git

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// derived are the files below objects/ that git makes from others to read faster, and can do
// without. with are the files beside one that are useless without it. Each derived file ends
// with a digest of what comes before (gitformat-pack(5), gitformat-commit-graph(5)).
var derived = []struct{ pattern, with string }{
	{"pack/multi-pack-index", "multi-pack-index-*"},
	{"pack/*.bitmap", ""},
	{"pack/*.rev", ""},
	{"pack/*.mtimes", ""}, // without it, a pack of unreachable objects is an ordinary one
	{"info/commit-graph", ""},
	{"info/commit-graphs/*.graph", "*"}, // each refers to others
}

// DropBroken removes the derived files whose digest is wrong, and returns their paths below
// objects/. Git trusts these files, and git-fsck(1) does not check all of them. Nobody may be
// writing packs meanwhile.
func (r Repo) DropBroken(ctx context.Context) (dropped []string, err error) {
	idLength, err := r.IDLength(ctx)
	if err != nil {
		return nil, err
	}
	newHash := sha1.New
	if idLength == 64 {
		newHash = sha256.New
	}
	objects := filepath.Join(r.Dir, "objects")
	for _, d := range derived {
		found, globErr := filepath.Glob(filepath.Join(globQuote(objects), d.pattern))
		err = errors.Join(err, globErr)
		for _, path := range found {
			if ctx.Err() != nil {
				return dropped, errors.Join(err, context.Cause(ctx))
			}
			ok, readErr := endsWithDigest(path, newHash())
			switch {
			case errors.Is(readErr, fs.ErrNotExist):
			case readErr != nil:
				err = errors.Join(err, readErr)
			case !ok:
				err = errors.Join(err, removeWith(path, d.with))
				name, _ := filepath.Rel(objects, path)
				dropped = append(dropped, name)
			}
		}
	}
	return dropped, err
}

// endsWithDigest reports whether a file ends with the digest of what comes before.
func endsWithDigest(path string, digest hash.Hash) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	content := info.Size() - int64(digest.Size())
	if content < 0 {
		return false, nil
	}
	if _, err := io.CopyN(digest, f, content); err != nil {
		return false, err
	}
	end, err := io.ReadAll(f)
	return bytes.Equal(end, digest.Sum(nil)), err
}

// removeWith removes a file, and the files beside it that match a pattern; "" matches none.
func removeWith(path, pattern string) error {
	paths := []string{path}
	if pattern != "" {
		with, err := filepath.Glob(filepath.Join(globQuote(filepath.Dir(path)), pattern))
		if err != nil {
			return err
		}
		paths = append(paths, with...)
	}
	var err error
	for _, path := range paths {
		if removeErr := os.Remove(path); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}
