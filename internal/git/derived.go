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

// derived are the files below objects/ that git makes from others to read faster, and can
// do without, with those beside them that are of no use when one is gone. Each ends with a digest of
// what is before it (gitformat-pack(5), gitformat-commit-graph(5)).
var derived = []struct{ pattern, with string }{
	{"pack/multi-pack-index", "multi-pack-index-*"},
	{"pack/*.bitmap", ""},
	{"pack/*.rev", ""},
	{"pack/*.mtimes", ""}, // without it, the pack of unreachable objects is one as any other
	{"info/commit-graph", ""},
	{"info/commit-graphs/*.graph", "*"}, // each builds on others
}

// DropBroken removes the derived files that are not what git has written, and returns
// their paths below objects/: git believes them, and git-fsck(1) does not look at all of
// them. Nobody may be writing packs meanwhile.
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

// endsWithDigest reports whether a file ends with the digest of what is before it.
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

// removeWith removes a file, and those beside it that a pattern names if it is not empty.
func removeWith(path, pattern string) error {
	gone := []string{path}
	if pattern != "" {
		with, err := filepath.Glob(filepath.Join(globQuote(filepath.Dir(path)), pattern))
		if err != nil {
			return err
		}
		gone = append(gone, with...)
	}
	var err error
	for _, path := range gone {
		if removeErr := os.Remove(path); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}
