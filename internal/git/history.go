package git

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// Unreachable returns which of the old commits are not in the history of any of the
// new ones. What is no commit, or is missing, is not among them.
func (r Repo) Unreachable(ctx context.Context, olds, news []string) (map[string]bool, error) {
	var stdin strings.Builder
	found := &lineFilter{wanted: make(map[string]bool, len(olds)), found: make(map[string]bool)}
	for _, id := range olds {
		stdin.WriteString(id + "\n")
		found.wanted[id] = true
	}
	for _, id := range news {
		stdin.WriteString("^" + id + "\n")
	}
	err := r.git.run(ctx, command{
		name: "rev-list", dir: r.Dir, args: []string{"--ignore-missing", "--stdin"},
		stdin: strings.NewReader(stdin.String()), stdout: found,
	})
	return found.found, err
}

// NotCommits returns which of these objects are there and are no commits.
func (r Repo) NotCommits(ctx context.Context, ids []string) (map[string]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	out, err := r.git.output(ctx, command{
		name: "cat-file", dir: r.Dir, args: []string{"--batch-check=%(objecttype)"},
		stdin: strings.NewReader(strings.Join(ids, "\n") + "\n"),
	})
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(ids) {
		return nil, fmt.Errorf("git cat-file answered %d of %d questions", len(lines), len(ids))
	}
	others := make(map[string]bool)
	for i, line := range lines {
		others[ids[i]] = line != "commit" && !strings.HasSuffix(line, " missing")
	}
	return others, nil
}

// lineFilter takes in lines and remembers those that are wanted: a list of commits can
// be much longer than what is looked for in it.
type lineFilter struct {
	wanted, found map[string]bool
	rest          []byte // a line that is not complete
}

func (f *lineFilter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, after, complete := bytes.Cut(p, []byte("\n"))
		f.rest = append(f.rest, line...)
		if !complete {
			return n, nil
		}
		if f.wanted[string(f.rest)] {
			f.found[string(f.rest)] = true
		}
		f.rest, p = f.rest[:0], after
	}
}
