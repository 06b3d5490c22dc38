package git

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/durable"
)

// A fetch that checks what arrives stops at the first object that is refused, and so brings no
// ref at all. Then Fetch fetches the same once more, unchecked, into a quarantine: a view of
// the repository with its own place for new objects. All of these are examined, and only what
// leads to no refused object is copied into the repository. A fetch without refused objects
// costs nothing more.

// fetchQuarantined is Fetch through a quarantine.
func (r Repo) fetchQuarantined(ctx context.Context, remote Remote, request fetchRequest, progress func(Progress)) (f Fetched, err error) {
	ids := request.ids
	err = r.inQuarantine(len(ids[0]), func(q quarantine) error {
		if err := q.transfer(ctx, remote, request, uncheckedSettings, progress, nil); err != nil {
			return err
		}
		if progress != nil {
			progress(Progress{Step: "looking for objects that are refused"})
		}
		var err error
		if f, err = q.assess(ctx, ids); err != nil {
			return err
		}
		var sound []string
		for _, id := range ids {
			if f.Refused[id] == "" {
				sound = append(sound, id)
			}
		}
		return r.copyObjects(ctx, q.Repo, sound, q.refs)
	})
	return f, err
}

// examineHere checks objects that are here, although no ref leads to them and no fetch has checked
// them. A ref once led to them, or a killed fetch left them behind after git had refused them, or
// they have come as files. Of those that are not among the files of before, only what leads to no
// refused object stays.
func (r Repo) examineHere(ctx context.Context, before objectFiles, ids []string) (f Fetched, err error) {
	err = r.inQuarantine(len(ids[0]), func(q quarantine) (err error) {
		f, err = q.assess(ctx, ids)
		return err
	})
	if err == nil && len(f.Refused) > 0 {
		err = r.keepSound(ctx, before, ids, f.Refused)
	}
	return f, err
}

// keepSound removes new files of objects, and keeps what the ids lead to that are not refused in a pack
// of its own.
func (r Repo) keepSound(ctx context.Context, before objectFiles, ids []string, refused map[string]string) error {
	fetched, err := r.objectFiles()
	if err != nil {
		return err
	}
	sound := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return refused[id] != "" })
	refs, _ := r.Survivors()
	if err := r.copyObjects(ctx, r, sound, refs); err != nil {
		return err
	}
	copied, err := r.indexedPacks()
	if err != nil {
		return err
	}
	for pack := range fetched.packs {
		delete(copied, pack)
	}
	maps.Copy(copied, before.packs)
	for file := range fetched.loose {
		if !before.loose[file] {
			err = errors.Join(err, os.Remove(file))
		}
	}
	return errors.Join(err, r.dropRefused(ctx, copied, ids))
}

// objectFiles are the files of a repository's objects.
type objectFiles struct {
	packs map[string]bool // see indexedPacks
	loose map[string]bool // by their paths
}

// objectFiles lists them. Where git fetches, there are few loose ones (fetch.unpackLimit).
func (r Repo) objectFiles() (files objectFiles, err error) {
	if files.packs, err = r.indexedPacks(); err != nil {
		return files, err
	}
	found, err := filepath.Glob(filepath.Join(globQuote(r.Dir), "objects/[0-9a-f][0-9a-f]/*"))
	files.loose = make(map[string]bool, len(found))
	for _, path := range found {
		files.loose[path] = true
	}
	return files, err
}

// dropRefused removes packs that git installed before it refused an object in them: it finds
// some faults only afterwards. Such a pack is new, contains an id that was asked for, and
// contains no object that a ref names.
func (r Repo) dropRefused(ctx context.Context, before map[string]bool, ids []string) error {
	after, err := r.indexedPacks()
	if err != nil {
		return err
	}
	refs, _ := r.Survivors()
	for pack := range after {
		if before[pack] {
			continue
		}
		has, err := r.packIDs(ctx, pack, len(ids[0]))
		if err != nil {
			return err
		}
		isAsked := slices.ContainsFunc(ids, func(id string) bool { return has[id] })
		isNamed := slices.ContainsFunc(refs, func(ref Ref) bool { return has[ref.ID] })
		if !isAsked || isNamed {
			continue // another command made it
		}
		if err := errors.Join(os.Remove(pack+".idx"), removePack(pack)); err != nil {
			return err
		}
	}
	return nil
}

// packIDs are the ids of the objects in a pack, whose path is given without its extension.
func (r Repo) packIDs(ctx context.Context, pack string, idLength int) (map[string]bool, error) {
	index, err := os.Open(pack + ".idx")
	if err != nil {
		return nil, err
	}
	defer index.Close()
	format := "sha1"
	if idLength == 64 {
		format = "sha256"
	}
	has := make(map[string]bool)
	err = r.git.run(ctx, command{
		name: "show-index", args: []string{"--object-format=" + format}, stdin: index,
		stdout: &lineReader{each: func(line []byte) error {
			if fields := strings.Fields(string(line)); len(fields) > 1 {
				has[fields[1]] = true
			}
			return nil
		}},
	})
	return has, err
}

// quarantine is a repository that reads the objects of another one, and has its own place for
// new objects.
type quarantine struct {
	Repo
	newOnly Repo  // has nothing but the new objects
	refs    []Ref // of the other repository
}

// inQuarantine calls work with a quarantine and removes it afterwards.
func (r Repo) inQuarantine(idLength int, work func(quarantine) error) error {
	parts := slices.DeleteFunc(slices.Clone(viewParts), func(part string) bool { return part == "objects" })
	return r.inViewOf(viewOptions{parts: parts, promises: true}, idLength, func(view Repo) error {
		q := quarantine{Repo: view, newOnly: r.git.Repo(filepath.Join(view.Dir, "new"))}
		q.refs, _ = r.Survivors()
		for _, dir := range []string{
			filepath.Join(q.Dir, "objects", "info"), filepath.Join(q.Dir, "objects", "pack"),
			filepath.Join(q.newOnly.Dir, "objects"), filepath.Join(q.newOnly.Dir, "refs"),
		} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
		}
		for path, text := range map[string]string{
			filepath.Join(q.Dir, "objects", "info", "alternates"): filepath.Join(r.Dir, "objects") + "\n",
			filepath.Join(q.newOnly.Dir, "config"):                emptyConfigs[idLength],
			filepath.Join(q.newOnly.Dir, "HEAD"):                  "ref: refs/heads/main\n",
		} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				return err
			}
		}
		if err := os.Symlink(filepath.Join(q.Dir, "objects", "pack"), filepath.Join(q.newOnly.Dir, "objects", "pack")); err != nil {
			return err
		}
		return work(q)
	})
}

// assess tells which of these tips lead to refused objects.
func (q quarantine) assess(ctx context.Context, tips []string) (Fetched, error) {
	found, err := q.examine(ctx, tips)
	if err != nil {
		return Fetched{}, fmt.Errorf("can't examine the new objects: %w", err)
	}
	bad, err := q.refusals(ctx, found)
	if err != nil {
		return Fetched{}, fmt.Errorf("can't examine the new objects: %w", err)
	}
	if len(bad) == 0 {
		return Fetched{Warnings: warningsOf(found, q.git.fsck)}, nil
	}
	s, err := q.findSound(ctx, tips, bad, found)
	if err != nil {
		return Fetched{}, fmt.Errorf("can't find out what leads to refused objects: %w", err)
	}
	sound := slices.DeleteFunc(found, func(f finding) bool { return !s.objects[f.object] })
	return Fetched{warningsOf(sound, q.git.fsck), s.refused}, nil
}

// warningsOf are the warnings among findings. Others may be about objects that are refused only
// under certain names.
func warningsOf(found []finding, level Fsck) Warnings {
	counted := tally{}
	for _, f := range found {
		if !level.refuses(f.id) {
			counted.record(f)
		}
	}
	return counted.warnings()
}

// copyObjects packs what tips need, beyond what the refs of have lead to, from a repository
// that has these objects.
func (r Repo) copyObjects(ctx context.Context, from Repo, tips []string, have []Ref) error {
	if len(tips) == 0 {
		return nil
	}
	var revs strings.Builder
	for _, tip := range tips {
		revs.WriteString(tip + "\n")
	}
	for _, ref := range have {
		revs.WriteString("^" + ref.ID + "\n")
	}
	err := r.inViewIfNeeded(len(tips[0]), func(view Repo) error {
		_, err := r.git.output(ctx, command{
			name: "pack-objects", dir: view.Dir,
			args:  []string{"--quiet", "--revs", "--non-empty", filepath.Join(view.Dir, "objects", "pack", "pack")},
			env:   []string{"GIT_ALTERNATE_OBJECT_DIRECTORIES=" + alternate(from.Dir)},
			stdin: strings.NewReader(revs.String()),
		})
		return err
	})
	if err != nil {
		return err
	}
	return durable.Sync(filepath.Join(r.Dir, "objects", "pack"))
}
