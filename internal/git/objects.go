package git

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// object is what "git cat-file --batch-check" prints about one revision. It is zero if there is
// no such object.
type object struct{ kind, id string }

// batchCheck makes "git cat-file" print the lines that parseObject reads.
const batchCheck = "--batch-check=%(objecttype) %(objectname)"

// lookUp looks revisions up, in one process. It returns an object for each of them, in the same
// order.
func (r Repo) lookUp(ctx context.Context, revisions []string) ([]object, error) {
	if len(revisions) == 0 {
		return nil, nil
	}
	objects := make([]object, 0, len(revisions))
	err := r.git.run(ctx, command{
		name: "cat-file", dir: r.Dir, args: []string{batchCheck},
		stdin: strings.NewReader(strings.Join(revisions, "\n") + "\n"),
		stdout: &lineReader{each: func(line []byte) error {
			objects = append(objects, parseObject(string(line)))
			return nil
		}},
	})
	if err == nil && len(objects) != len(revisions) {
		err = fmt.Errorf("git cat-file printed %d lines for %d revisions", len(objects), len(revisions))
	}
	return objects, err
}

// parseObject reads a line "<type> <id>". Other lines, such as "<revision> missing", are no
// object.
func parseObject(line string) object {
	kind, id, _ := strings.Cut(line, " ")
	if !IsID(id) {
		return object{}
	}
	return object{kind, id}
}

// Commit returns the id of the commit that id is or, for an annotated tag, leads
// to. Without one, the error is [ErrNotFound].
func (r Repo) Commit(ctx context.Context, id string) (string, error) {
	ids, err := r.commits(ctx, id)
	if err == nil && ids[0] == "" {
		err = ErrNotFound
	}
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// commits returns the ids of the commits that these ids lead to, in the same order; "" for
// an id that leads to none.
func (r Repo) commits(ctx context.Context, ids ...string) ([]string, error) {
	revisions := make([]string, len(ids))
	for i, id := range ids {
		revisions[i] = id + "^{}"
	}
	objects, err := r.lookUp(ctx, revisions)
	if err != nil {
		return nil, err
	}
	found := make([]string, len(ids))
	for i, o := range objects {
		// In a repository with ids of 64 digits, 40 digits can be an abbreviation.
		if o.kind == "commit" && len(o.id) == len(ids[i]) {
			found[i] = o.id
		}
	}
	return found, nil
}

// IsAncestor reports whether commit is reachable from descendant. Both are full ids. If the
// repository does not have one of these commits, the error is [ErrNotFound].
func (r Repo) IsAncestor(ctx context.Context, commit, descendant string) (bool, error) {
	if len(commit) != len(descendant) { // all ids of a repository have the same length
		return false, ErrNotFound
	}
	err := r.git.run(ctx, command{
		name: "merge-base", dir: r.Dir, args: []string{"--is-ancestor", commit, descendant},
	})
	e := (*Error)(nil)
	switch {
	case err == nil || !errors.As(err, &e):
		return err == nil, err
	case e.ExitCode == 1:
		return false, nil
	case e.Err != nil:
		return false, err
	case e.Stderr == notACommit+commit, e.Stderr == notACommit+descendant:
		return false, ErrNotFound
	}
	found, lookErr := r.commits(ctx, commit, descendant)
	switch {
	case lookErr != nil:
		return false, lookErr
	case found[0] == "" || found[1] == "":
		return false, ErrNotFound
	}
	return false, err
}

// notACommit is all that git merge-base prints, before the id, for an object that does not
// exist. About others, such as an object of another type or a damaged one, it prints more.
const notACommit = "fatal: Not a valid commit name "

// NotCommits returns which of these objects exist and are no commits.
func (r Repo) NotCommits(ctx context.Context, ids []string) (map[string]bool, error) {
	objects, err := r.lookUp(ctx, ids)
	if err != nil {
		return nil, err
	}
	others := make(map[string]bool, len(ids))
	for i, o := range objects {
		others[ids[i]] = o.kind != "" && o.kind != "commit"
	}
	return others, nil
}

// Peel fills in Peeled where it is empty. It returns the positions of the refs whose object is
// missing or, if it must be a commit, is none.
func (r Repo) Peel(ctx context.Context, refs []Ref) (missing []int, err error) {
	var positions []int
	var revisions []string
	for i, ref := range refs {
		if ref.Peeled == "" {
			positions = append(positions, i)
			revisions = append(revisions, ref.ID+"^{}")
		}
	}
	objects, err := r.lookUp(ctx, revisions)
	if err != nil {
		return nil, err
	}
	for i, o := range objects {
		ref := &refs[positions[i]]
		isCommit := o.kind == "commit" && o.id == ref.ID
		if o.id == "" || ref.IsCommit() && !isCommit {
			missing = append(missing, positions[i])
		} else {
			ref.Peeled = o.id
		}
	}
	return missing, nil
}
