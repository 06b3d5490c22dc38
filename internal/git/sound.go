package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// selection is what was found out about tips.
type selection struct {
	refused map[string]string // why, by the id of the tip
	objects map[string]bool   // of those that something was found about, which others lead to
}

// sound finds out which tips lead to no bad object.
//
// Commits are gone through from the oldest on, each with the objects that no earlier one
// has: what has a bad commit among its ancestors is bad. Git reports each object once, with the
// first commit that has it. So the walk is repeated with the remaining tips until it reports
// nothing bad. What is no commit, as a tag, is looked at last and on its own.
func (q quarantine) sound(ctx context.Context, tips []string, bad map[string]string, found []finding) (*selection, error) {
	peeled, err := q.commits(ctx, tips)
	if err != nil {
		return nil, err
	}
	s := &selection{refused: make(map[string]string), objects: make(map[string]bool)}
	about := make(map[string]bool, len(found))
	for _, f := range found {
		about[f.object] = true
	}
	note := func(object string) {
		if about[object] {
			s.objects[object] = true
		}
	}
	left := slices.Clone(tips)
	for again := true; again; {
		clear(s.objects)
		tainted, err := q.tainted(ctx, peeled, left, bad, note)
		if err != nil {
			return nil, err
		}
		before := len(left)
		left = slices.DeleteFunc(left, func(tip string) bool {
			why, is := tainted[peeled[tip]]
			if is {
				s.refused[tip] = bad[why]
			}
			return is
		})
		if again = len(tainted) > 0; again && len(left) == before {
			return nil, errors.New("git tells of a commit that nothing leads to")
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
	return s, q.soundOthers(ctx, s, others, commits, bad, note)
}

// commits are the commits that tips lead to, by tip; empty for one that leads to none.
func (q quarantine) commits(ctx context.Context, tips []string) (map[string]string, error) {
	out, err := q.git.output(ctx, command{
		name: "cat-file", dir: q.Dir, args: []string{"--batch-check=%(objecttype) %(objectname)"},
		stdin: strings.NewReader(strings.Join(tips, "^{}\n") + "^{}\n"),
	})
	if err != nil {
		return nil, err
	}
	answers := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(answers) != len(tips) {
		return nil, fmt.Errorf("git cat-file answered %d of %d questions", len(answers), len(tips))
	}
	peeled := make(map[string]string, len(tips))
	for i, answer := range answers {
		id, _ := strings.CutPrefix(answer, "commit ")
		if !IsID(id) {
			id = ""
		}
		peeled[tips[i]] = id
	}
	return peeled, nil
}

// tainted goes once through the new commits that tips lead to. It returns those that have a
// bad object among what is first told of with them or with an ancestor, and which one. seen
// is told of all objects.
func (q quarantine) tainted(
	ctx context.Context, peeled map[string]string, tips []string, bad map[string]string, seen func(string),
) (map[string]string, error) {
	var stdin strings.Builder
	for _, tip := range tips {
		if peeled[tip] != "" {
			stdin.WriteString(peeled[tip] + "\n")
		}
	}
	tainted, now := make(map[string]string), ""
	if stdin.Len() == 0 {
		return tainted, nil
	}
	taint := func(commit, why string) {
		if tainted[commit] == "" {
			tainted[commit] = why
		}
	}
	err := q.git.run(ctx, command{
		name: "rev-list", dir: q.Dir,
		args: []string{
			"--objects", "--no-object-names", "--in-commit-order", "--topo-order", "--reverse", "--parents",
			"--timestamp", // tells commits from other objects
			"--stdin", "--not", "--all",
		},
		stdin: strings.NewReader(stdin.String()),
		stdout: &lineReader{each: func(line []byte) error {
			ids := strings.Fields(string(line))
			if len(ids) > 1 { // a time, a commit and its parents
				ids = ids[1:]
				now = ids[0]
				for _, parent := range ids[1:] {
					if why := tainted[parent]; why != "" {
						taint(now, why)
					}
				}
			}
			seen(ids[0])
			if bad[ids[0]] != "" {
				taint(now, ids[0])
			}
			return nil
		}},
	})
	return tainted, err
}

// soundOthers adds to a selection which of these tips, that are no commits, lead to a bad
// object. The commits do not.
func (q quarantine) soundOthers(
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
		q.soundOthers(ctx, s, tips[:half], commits, bad, seen),
		q.soundOthers(ctx, s, tips[half:], commits, bad, seen),
	)
}
