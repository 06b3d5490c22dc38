package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/reconquest/sould/internal/durable"
)

// A fetch that checks what arrives ends at the first object that is refused, and with it go
// the refs that have nothing to do with that object. What was refused is fetched once more
// then, unchecked, into a quarantine: a view of the repository with a place of its own for
// new objects. There all of them are looked at, and only what leads to no object that is
// refused is let into the repository. The usual fetch costs nothing more for that.

// fetchApart is Fetch by way of a quarantine.
func (r Repo) fetchApart(ctx context.Context, remote Remote, ids []string, progress func(string)) (f Fetched, err error) {
	err = r.inQuarantine(len(ids[0]), func(q quarantine) error {
		if err := q.transfer(ctx, remote, wanted{ids: ids}, uncheckedSettings, progress, nil); err != nil {
			return err
		}
		if progress != nil {
			progress("looking for what is refused")
		}
		var err error
		if f, err = q.judge(ctx, ids); err != nil {
			return err
		}
		var sound []string
		for _, id := range ids {
			if f.Refused[id] == "" {
				sound = append(sound, id)
			}
		}
		return r.admit(ctx, q.Repo, sound, q.refs)
	})
	return f, err
}

// examineHere checks objects that were asked for and were here already, although no ref leads
// to them. Either a ref once did, or a fetch that was killed left them, after git had refused
// them.
func (r Repo) examineHere(ctx context.Context, ids []string) (f Fetched, err error) {
	err = r.inQuarantine(len(ids[0]), func(q quarantine) (err error) {
		f, err = q.judge(ctx, ids)
		return err
	})
	return f, err
}

// dropRefused removes packs that git put in their place before it refused an object in them:
// it finds some errors only then. Such a pack is new, contains an id that was asked for, and
// nothing that a ref names.
func (r Repo) dropRefused(ctx context.Context, before map[string]bool, ids []string) error {
	after, err := r.indexed()
	if err != nil {
		return err
	}
	refs, _ := r.Survivors()
	for pack := range after {
		if before[pack] {
			continue
		}
		has, err := r.packed(ctx, pack, len(ids[0]))
		if err != nil {
			return err
		}
		isAsked := slices.ContainsFunc(ids, func(id string) bool { return has[id] })
		isNamed := slices.ContainsFunc(refs, func(ref Ref) bool { return has[ref.ID] })
		if !isAsked || isNamed {
			continue // somebody else has made it
		}
		if err := errors.Join(os.Remove(pack+".idx"), removePack(pack)); err != nil {
			return err
		}
	}
	return nil
}

// packed are the objects of a pack, which is named without its extension.
func (r Repo) packed(ctx context.Context, pack string, idLength int) (map[string]bool, error) {
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

// quarantine is a repository that has the objects of another one, and new ones in a place
// of its own.
type quarantine struct {
	Repo
	alone Repo  // has the new objects and nothing else
	refs  []Ref // of the other one
}

// inQuarantine has work done in a quarantine, which is gone then.
func (r Repo) inQuarantine(idLength int, work func(quarantine) error) error {
	parts := slices.DeleteFunc(slices.Clone(viewed), func(part string) bool { return part == "objects" })
	return r.inViewOf(viewing{parts: parts, promises: true}, idLength, func(view Repo) error {
		q := quarantine{Repo: view, alone: r.git.Repo(filepath.Join(view.Dir, "alone"))}
		q.refs, _ = r.Survivors()
		for _, dir := range []string{
			filepath.Join(q.Dir, "objects", "info"), filepath.Join(q.Dir, "objects", "pack"),
			filepath.Join(q.alone.Dir, "objects"), filepath.Join(q.alone.Dir, "refs"),
		} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
		}
		for path, text := range map[string]string{
			filepath.Join(q.Dir, "objects", "info", "alternates"): filepath.Join(r.Dir, "objects") + "\n",
			filepath.Join(q.alone.Dir, "config"):                  configs[idLength],
			filepath.Join(q.alone.Dir, "HEAD"):                    "ref: refs/heads/main\n",
		} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				return err
			}
		}
		if err := os.Symlink(filepath.Join(q.Dir, "objects", "pack"), filepath.Join(q.alone.Dir, "objects", "pack")); err != nil {
			return err
		}
		return work(q)
	})
}

// judge says which of these tips lead to objects that are refused.
func (q quarantine) judge(ctx context.Context, tips []string) (Fetched, error) {
	found, err := q.examine(ctx, tips)
	if err != nil {
		return Fetched{}, fmt.Errorf("can't examine what came: %w", err)
	}
	bad, err := q.refusals(ctx, found)
	if err != nil {
		return Fetched{}, fmt.Errorf("can't examine what came: %w", err)
	}
	if len(bad) == 0 {
		return Fetched{Warnings: warningsOf(found, q.git.fsck)}, nil
	}
	s, err := q.sound(ctx, tips, bad, found)
	if err != nil {
		return Fetched{}, fmt.Errorf("can't find out what leads to objects that are refused: %w", err)
	}
	left := slices.DeleteFunc(found, func(f finding) bool { return !s.objects[f.object] })
	return Fetched{warningsOf(left, q.git.fsck), s.refused}, nil
}

// warningsOf are the warnings among findings, some of which may be about what is refused
// only under another name.
func warningsOf(found []finding, level Fsck) Warnings {
	counted := tally{}
	for _, f := range found {
		if !level.refuses(f.id) {
			counted.note(f)
		}
	}
	return counted.warnings()
}

// admit packs what tips need beyond what these refs lead to, from a repository that has it.
func (r Repo) admit(ctx context.Context, from Repo, tips []string, have []Ref) error {
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
