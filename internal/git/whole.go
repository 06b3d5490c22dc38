package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Inventory lists the files that hold a repository's objects, or cut off its history: sizes in
// bytes of packs, of their indexes, and of the files shallow and info/grafts, by path.
type Inventory map[string]int64

// Inventory reads the sizes. Packs that are borrowed from other repositories
// (objects/info/alternates) are part of it.
func (r Repo) Inventory() (Inventory, error) {
	all, _, err := r.StampedInventory()
	return all, err
}

// StampedInventory is Inventory with a stamp: as long as the repository has it (HasStamp), the
// inventory is the same.
func (r Repo) StampedInventory() (all Inventory, stamp string, err error) {
	all = make(Inventory)
	s := stamper{repo: r}
	for _, name := range []string{"shallow", "info/grafts"} {
		if size, ok := s.add(name); ok {
			all[name] = size
		}
	}
	s.add(alternates)
	for prefix, dir := range r.objectDirs() {
		s.add(dir + "/pack") // before it is read
		entries, err := os.ReadDir(r.path(dir + "/pack"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
		for _, entry := range entries {
			name := entry.Name()
			if !strings.HasPrefix(name, "pack-") || !strings.HasSuffix(name, ".pack") && !strings.HasSuffix(name, ".idx") {
				continue // such as a repack's temporary file
			}
			if size, ok := s.add(dir + "/pack/" + name); ok {
				all[prefix+name] = size
			}
		}
	}
	return all, s.text.String(), nil
}

// Shallow is the size of the file that lists where the history is cut off, in bytes, or 0.
func (i Inventory) Shallow() int64 { return i["shallow"] }

// Size is what the repository's own packs and their indexes take, in bytes.
func (i Inventory) Size() (bytes int64) {
	for name, size := range i {
		if strings.HasPrefix(name, "pack-") { // others are borrowed, or no packs
			bytes += size
		}
	}
	return bytes
}

// alternates lists directories with objects of other repositories (gitrepository-layout(5)).
const alternates = "objects/info/alternates"

// objectDirs are the directories with the repository's objects, absolute or in the repository; its
// own has the key "".
func (r Repo) objectDirs() map[string]string {
	dirs := map[string]string{"": "objects"}
	text, _ := os.ReadFile(r.path(alternates)) // most have none
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		dir := line
		if !filepath.IsAbs(dir) {
			dir = filepath.Join("objects", dir)
		}
		dirs[line+"/"] = dir
	}
	return dirs
}

// Digest is equal for equal inventories.
func (i Inventory) Digest() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(i)) {
		fmt.Fprintf(h, "%d %q\n", i[name], name)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Includes reports whether all packs of an older inventory still exist with the same size.
func (i Inventory) Includes(older Inventory) bool {
	for name, size := range older {
		if now, ok := i[name]; (!ok || now != size) && strings.Contains(name, "pack-") {
			return false
		}
	}
	return true
}

// IsShallow reports whether the repository says that its history is cut off
// (gitrepository-layout(5)).
func (r Repo) IsShallow() bool {
	_, err := os.Lstat(filepath.Join(r.Dir, "shallow"))
	return err == nil
}

// connectedParts are the parts of a repository that say which objects it has.
var connectedParts = []string{"objects", "refs", "packed-refs", "shallow"}

// Connected checks that all objects exist which these ids lead to, with their history. The
// repository's own configuration cannot excuse a missing object. Commits and trees are read; of
// files only the existence is checked. damage says what is missing; err says why that could not
// be found out.
func (r Repo) Connected(ctx context.Context, ids []string) (damage, err error) {
	if _, err := os.Lstat(filepath.Join(r.Dir, "info", "grafts")); err == nil {
		return fmt.Errorf("%w: info/grafts gives commits other parents than they have", ErrDamaged), nil
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if !r.isOurs() { // git may not be able to use it at all
		if _, err := r.IDLength(ctx); err != nil {
			return damageOf(err)
		}
	}
	err = r.inViewOf(viewOptions{parts: connectedParts}, len(ids[0]), func(view Repo) error {
		return r.git.run(ctx, command{
			name: "rev-list", dir: view.Dir, lowPriority: true,
			args:     []string{"--objects", "--quiet", "--stdin"},
			settings: []string{"core.commitGraph", "false"}, // it may list commits that are gone
			stdin:    strings.NewReader(strings.Join(ids, "\n") + "\n"),
		})
	})
	return damageOf(err)
}

// damageOf is judge for the error of a command that could not read a repository.
func damageOf(err error) (damage, _ error) {
	failed := (*Error)(nil)
	if !errors.As(err, &failed) || failed.Err != nil || outOfMemory(err) {
		return nil, err
	}
	damage, unknown := judge(failed)
	if damage == nil && unknown == nil {
		unknown = failed
	}
	return damage, unknown
}
