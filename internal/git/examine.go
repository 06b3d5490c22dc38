package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// examine returns all that git says of the new objects. Where nothing has come, these are
// what tips lead to and no ref.
func (q quarantine) examine(ctx context.Context, tips []string) (found []finding, err error) {
	packs, err := q.packs()
	if err == nil && len(packs) == 0 {
		if err = q.admit(ctx, q.Repo, tips, q.refs); err == nil {
			packs, err = q.packs()
		}
	}
	if err != nil || len(packs) == 0 {
		return nil, err
	}
	found, err = q.verify(ctx, packs, nil)
	if e := (*Error)(nil); !errors.As(err, &e) || !slices.ContainsFunc(found, func(f finding) bool { return f.refused }) {
		return found, err
	}
	fixed, err := q.fixed(ctx)
	if err != nil {
		return nil, err
	}
	found, err = q.verify(ctx, packs, fixed)
	return append(fixed, found...), err
}

func (q quarantine) packs() ([]string, error) {
	return filepath.Glob(filepath.Join(globQuote(q.Dir), "objects", "pack", "*.pack"))
}

// verify has git check packs as if they had just arrived, but for some objects. All that can
// be a warning is one, so that git does not end at the first.
func (q quarantine) verify(ctx context.Context, packs []string, skip []finding) (found []finding, err error) {
	for {
		ids, err := q.git.messages.known(ctx, q.git)
		if err != nil {
			return nil, err
		}
		var skipped strings.Builder
		for _, f := range skip {
			skipped.WriteString(f.object + "\n")
		}
		strict := "--strict=skiplist=/dev/stdin"
		for _, id := range ids {
			strict += "," + id + "=warn"
		}
		found = nil
		for _, pack := range packs {
			err = errors.Join(err, q.git.run(ctx, command{
				name: "index-pack", dir: q.Dir, args: []string{"--verify", strict, pack},
				stdin: strings.NewReader(skipped.String()),
				heard: func(f finding) { found = append(found, f) },
			}))
		}
		if !q.git.messages.learn(err) {
			return found, err
		}
	}
}

// fixed returns what git says of new objects that it makes no warning of. Unlike what
// indexes packs, git-fsck(1) does not end at the first of them.
func (q quarantine) fixed(ctx context.Context) (found []finding, err error) {
	version, err := q.git.Version(ctx)
	if err != nil {
		return nil, err
	}
	err = q.git.run(ctx, command{
		name: "fsck", dir: q.alone.Dir, args: fsckArgs(version), stdout: io.Discard,
		heard: func(f finding) {
			if q.git.messages.isFixed(f.id) {
				found = append(found, f)
			}
		},
	})
	if e := (*Error)(nil); errors.As(err, &e) && e.Err == nil && e.Signal == 0 {
		return found, nil // it fails because of them, and for want of what they refer to
	}
	return found, err
}

// refusals are the new objects that are refused, and why.
func (q quarantine) refusals(ctx context.Context, found []finding) (bad map[string]string, err error) {
	bad = make(map[string]string)
	named := make(map[string]finding)   // trees that are dangerous if one of their names is
	targets := make(map[string]finding) // what is bad only by the name that a tree gives it
	for _, f := range found {
		switch {
		case q.git.fsck.refuses(f.id) && isAboutTarget(f.id):
			targets[f.object] = f
		case q.git.fsck.refuses(f.id):
			bad[f.object] = f.String()
		case f.id == byItsNames && !q.git.fsck.takes(f.id):
			named[f.object] = f
		}
	}
	if len(named) > 0 {
		err = q.readTrees(ctx, strings.NewReader(lines(named)), func(tree, name, _ string) {
			if strings.Contains(name, "/") && leadsAstray(name) {
				bad[tree] = fmt.Sprintf("%s, such as %.100q", named[tree], name)
			}
		})
	}
	if err != nil || len(targets) == 0 {
		return bad, err
	}
	unnamed := maps.Clone(targets)       // that no name explains
	loosely := make(map[string][]string) // trees that lead to them, whatever they call them
	err = q.readAllTrees(ctx, func(tree, name, target string) {
		f, ok := targets[target]
		switch {
		case ok && readAs(name, f.id):
			bad[tree] = f.String()
			delete(unnamed, target)
		case ok:
			loosely[target] = append(loosely[target], tree)
		}
	})
	for target, f := range unnamed {
		for _, tree := range loosely[target] {
			bad[tree] = f.String()
		}
		if len(loosely[target]) == 0 {
			err = errors.Join(err, fmt.Errorf("nothing new leads to it: %s", f))
		}
	}
	return bad, err
}

// isAboutTarget reports whether a message names what an entry of a tree leads to, and not
// the tree. That object may be harmless under another name, and may be in the repository
// already; the tree is new.
func isAboutTarget(id string) bool {
	for _, about := range []string{"gitmodules", "gitattributes", "symlinkTarget"} {
		if strings.HasPrefix(id, about) {
			return !strings.HasSuffix(id, "Symlink")
		}
	}
	return false
}

// lines are the keys of a map, one a line.
func lines[T any](m map[string]T) string {
	var b strings.Builder
	for key := range m {
		b.WriteString(key + "\n")
	}
	return b.String()
}

// readTrees tells of the entries of trees whose ids are given, one a line.
func (q quarantine) readTrees(ctx context.Context, ids io.Reader, each func(tree, name, target string)) error {
	return q.git.run(ctx, command{
		name: "cat-file", dir: q.Dir, args: []string{"--batch"}, stdin: ids, stdout: &treeReader{each: each},
	})
}

// readAllTrees is readTrees of all new ones. There may be millions: their list is a file.
func (q quarantine) readAllTrees(ctx context.Context, each func(tree, name, target string)) error {
	list, err := os.Create(filepath.Join(q.Dir, "trees"))
	if err != nil {
		return err
	}
	defer list.Close()
	err = q.git.run(ctx, command{
		name: "cat-file", dir: q.alone.Dir, args: []string{"--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"},
		stdout: &lineReader{each: func(line []byte) error {
			id, ok := strings.CutPrefix(string(line), "tree ")
			if !ok {
				return nil
			}
			_, err := list.WriteString(id + "\n")
			return err
		}},
	})
	if err == nil {
		_, err = list.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	return q.readTrees(ctx, list, each)
}
