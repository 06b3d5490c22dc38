package git

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
)

// selection is the result of findSound.
type selection struct {
	refused map[string]string // reasons, by the id of the tip
	objects map[string]bool   // those with findings that sound tips lead to
}

// findSound finds out which tips lead to no bad object.
//
// It walks the commits from the oldest on, each with the objects that no earlier commit has. A
// commit is tainted if one of these objects is bad or a parent is tainted. Git reports each
// object once, with the first commit that has it, so the walk is repeated with the remaining
// tips until it reports nothing bad. Tips that are no commits, such as tags, are checked last.
func (q quarantine) findSound(ctx context.Context, tips []string, bad map[string]string, found []finding) (*selection, error) {
	commitIDs, err := q.commits(ctx, tips...)
	if err != nil {
		return nil, err
	}
	peeled := make(map[string]string, len(tips)) // by tip; "" for one that leads to no commit
	for i, tip := range tips {
		peeled[tip] = commitIDs[i]
	}
	s := &selection{refused: make(map[string]string), objects: make(map[string]bool)}
	about := make(map[string]bool, len(found))
	for _, f := range found {
		about[f.object] = true
	}
	record := func(object string) {
		if about[object] {
			s.objects[object] = true
		}
	}
	left := slices.Clone(tips)
	for again := true; again; {
		clear(s.objects)
		tainted, err := q.tainted(ctx, peeled, left, bad, record)
		if err != nil {
			return nil, err
		}
		before := len(left)
		left = slices.DeleteFunc(left, func(tip string) bool {
			object, ok := tainted[peeled[tip]]
			if ok {
				s.refused[tip] = bad[object]
			}
			return ok
		})
		if again = len(tainted) > 0; again && len(left) == before {
			return nil, errors.New("git lists a commit that no tip leads to")
		}
	}
	var commits, others []string
	for _, tip := range left {
		if peeled[tip] != tip {
			others = append(others, tip)
		}
		if peeled[tip] != "" {
			commits = append(commits, peeled[tip])
		}
	}
	return s, q.checkOthers(ctx, s, others, commits, bad, record)
}

// tainted walks the new commits that tips lead to, once. It returns the tainted ones, each with
// the id of a bad object. It calls seen for every object.
func (q quarantine) tainted(
	ctx context.Context, peeled map[string]string, tips []string, bad map[string]string, seen func(string),
) (map[string]string, error) {
	var stdin strings.Builder
	for _, tip := range tips {
		if peeled[tip] != "" {
			stdin.WriteString(peeled[tip] + "\n")
		}
	}
	tainted, current := make(map[string]string), ""
	if stdin.Len() == 0 {
		return tainted, nil
	}
	taint := func(commit, object string) {
		if tainted[commit] == "" {
			tainted[commit] = object
		}
	}
	err := q.git.run(ctx, command{
		name: "rev-list", dir: q.Dir,
		args: []string{
			"--objects", "--no-object-names", "--in-commit-order", "--topo-order", "--reverse", "--parents",
			"--timestamp", // marks the lines of commits
			"--stdin", "--not", "--all",
		},
		stdin: strings.NewReader(stdin.String()),
		stdout: &lineReader{each: func(line []byte) error {
			ids := strings.Fields(string(line))
			if len(ids) > 1 { // a time, a commit and its parents
				ids = ids[1:]
				current = ids[0]
				for _, parent := range ids[1:] {
					if object := tainted[parent]; object != "" {
						taint(current, object)
					}
				}
			}
			seen(ids[0])
			if bad[ids[0]] != "" {
				taint(current, ids[0])
			}
			return nil
		}},
	})
	return tainted, err
}

// checkOthers adds to s.refused which of these tips, none of them a commit, lead to a bad
// object. The commits lead to none. It calls seen for the objects of sound tips.
func (q quarantine) checkOthers(
	ctx context.Context, s *selection, tips, commits []string, bad map[string]string, seen func(string),
) error {
	if len(tips) == 0 {
		return nil
	}
	var stdin strings.Builder
	for _, tip := range tips {
		stdin.WriteString(tip + "\n")
	}
	for _, commit := range commits {
		stdin.WriteString("^" + commit + "\n")
	}
	why, objects := "", []string(nil)
	err := q.git.run(ctx, command{
		name: "rev-list", dir: q.Dir, args: []string{"--objects", "--no-object-names", "--stdin", "--not", "--all"},
		stdin: strings.NewReader(stdin.String()),
		stdout: &lineReader{each: func(line []byte) error {
			id := string(line)
			why = cmp.Or(why, bad[id])
			objects = append(objects, id)
			return nil
		}},
	})
	switch {
	case err != nil:
		return err
	case why == "":
		for _, id := range objects {
			seen(id)
		}
		return nil
	case len(tips) == 1:
		s.refused[tips[0]] = why
		return nil
	}
	half := len(tips) / 2
	return errors.Join(
		q.checkOthers(ctx, s, tips[:half], commits, bad, seen),
		q.checkOthers(ctx, s, tips[half:], commits, bad, seen),
	)
}
