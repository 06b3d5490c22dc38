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

// examine returns all that git says about the new objects. If nothing has arrived, these are
// the objects that tips lead to and no ref does.
func (q quarantine) examine(ctx context.Context, tips []string) (found []finding, err error) {
	packs, err := q.packs()
	if err == nil && len(packs) == 0 {
		if err = q.copyObjects(ctx, q.Repo, tips, q.refs); err == nil {
			packs, err = q.packs()
		}
	}
	if err != nil || len(packs) == 0 {
		return nil, err
	}
	found, err = q.verify(ctx, packs, nil)
	isRefused := func(f finding) bool { return f.refused }
	if e := (*Error)(nil); !errors.As(err, &e) || !slices.ContainsFunc(found, isRefused) {
		return found, err
	}
	fatal, err := q.fatalFindings(ctx)
	if err != nil {
		return nil, err
	}
	found, err = q.verify(ctx, packs, fatal)
	return append(fatal, found...), err
}

func (q quarantine) packs() ([]string, error) {
	return filepath.Glob(filepath.Join(globQuote(q.Dir), "objects", "pack", "*.pack"))
}

// verify has git check packs as if they had just arrived, without the objects of skip. All
// messages that can be warnings are, so that git does not stop at the first.
func (q quarantine) verify(ctx context.Context, packs []string, skip []finding) (found []finding, err error) {
	for {
		ids, err := q.git.messages.demotable(ctx, q.git)
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
				found: func(f finding) { found = append(found, f) },
			}))
		}
		if !q.git.messages.recordFatal(err) {
			return found, err
		}
	}
}

// fatalFindings returns the messages about new objects that git cannot make warnings. Unlike
// git-index-pack(1), git-fsck(1) does not stop at the first of them.
func (q quarantine) fatalFindings(ctx context.Context) (found []finding, err error) {
	version, err := q.git.Version(ctx)
	if err != nil {
		return nil, err
	}
	err = q.git.run(ctx, command{
		name: "fsck", dir: q.newOnly.Dir, args: fsckArgs(version), stdout: io.Discard,
		found: func(f finding) {
			if q.git.messages.isFatal(f.id) {
				found = append(found, f)
			}
		},
	})
	if e := (*Error)(nil); errors.As(err, &e) && e.Err == nil && e.Signal == 0 {
		return found, nil // it fails because of them, and because objects outside of the quarantine are missing
	}
	return found, err
}

// refusals are the new objects that are refused, each with the reason.
func (q quarantine) refusals(ctx context.Context, found []finding) (bad map[string]string, err error) {
	bad = make(map[string]string)
	named := make(map[string]finding)   // trees with a name that has a slash
	targets := make(map[string]finding) // objects that are bad only under certain names
	for _, f := range found {
		switch {
		case q.git.fsck.refuses(f.id) && isAboutTarget(f.id):
			targets[f.object] = f
		case q.git.fsck.refuses(f.id):
			bad[f.object] = f.String()
		case f.id == slashInName && !q.git.fsck.accepts(f.id):
			named[f.object] = f
		}
	}
	if len(named) > 0 {
		err = q.readTrees(ctx, strings.NewReader(lines(named)), func(tree, name, _ string) {
			if strings.Contains(name, "/") && isDangerousPath(name) {
				bad[tree] = fmt.Sprintf("%s, such as %.100q", named[tree], name)
			}
		})
	}
	if err != nil || len(targets) == 0 {
		return bad, err
	}
	unnamed := maps.Clone(targets)       // those that have none of these names
	parents := make(map[string][]string) // the trees that lead to them under other names
	err = q.readAllTrees(ctx, func(tree, name, target string) {
		f, ok := targets[target]
		switch {
		case ok && isReadAs(name, f.id):
			bad[tree] = f.String()
			delete(unnamed, target)
		case ok:
			parents[target] = append(parents[target], tree)
		}
	})
	for target, f := range unnamed {
		for _, tree := range parents[target] {
			bad[tree] = f.String()
		}
		if len(parents[target]) == 0 {
			err = errors.Join(err, fmt.Errorf("nothing new leads to it: %s", f))
		}
	}
	return bad, err
}

// isAboutTarget reports whether a message names the object of a tree's entry, and not the tree.
// That object may be harmless under another name, and may be old, while the tree is new.
func isAboutTarget(id string) bool {
	for _, about := range []string{"gitmodules", "gitattributes", "symlinkTarget"} {
		if strings.HasPrefix(id, about) {
			return !strings.HasSuffix(id, "Symlink")
		}
	}
	return false
}

// lines are the keys of a map, one per line.
func lines[T any](m map[string]T) string {
	var b strings.Builder
	for key := range m {
		b.WriteString(key + "\n")
	}
	return b.String()
}

// readTrees calls each with every entry of the trees whose ids are given, one per line.
func (q quarantine) readTrees(ctx context.Context, ids io.Reader, each func(tree, name, target string)) error {
	return q.git.run(ctx, command{
		name: "cat-file", dir: q.Dir, args: []string{"--batch"}, stdin: ids, stdout: &treeReader{each: each},
	})
}

// readAllTrees is readTrees for all new trees. There may be millions, so their list is a file.
func (q quarantine) readAllTrees(ctx context.Context, each func(tree, name, target string)) error {
	list, err := os.Create(filepath.Join(q.Dir, "trees"))
	if err != nil {
		return err
	}
	defer list.Close()
	err = q.git.run(ctx, command{
		name: "cat-file", dir: q.newOnly.Dir, args: []string{"--batch-all-objects", batchCheck},
		stdout: &lineReader{each: func(line []byte) error {
			o := parseObject(string(line))
			if o.kind != "tree" {
				return nil
			}
			_, err := list.WriteString(o.id + "\n")
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
