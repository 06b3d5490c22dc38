package git

import (
	"bytes"
	"context"
	"strings"
)

// Unreachable returns which of the old commits are not in the history of any of the new ones.
// Objects that are missing or are no commits are not among them.
func (r Repo) Unreachable(ctx context.Context, olds, news []string) (map[string]bool, error) {
	var stdin strings.Builder
	wanted, found := make(map[string]bool, len(olds)), make(map[string]bool)
	for _, id := range olds {
		stdin.WriteString(id + "\n")
		wanted[id] = true
	}
	for _, id := range news {
		stdin.WriteString("^" + id + "\n")
	}
	err := r.git.run(ctx, command{
		name: "rev-list", dir: r.Dir, args: []string{"--ignore-missing", "--stdin"},
		stdin: strings.NewReader(stdin.String()),
		stdout: &lineReader{each: func(line []byte) error {
			if wanted[string(line)] {
				found[string(line)] = true
			}
			return nil
		}},
	})
	return found, err
}

// lineReader calls each with every line that is written to it, so that a long list need not be
// kept in memory.
type lineReader struct {
	each func(line []byte) error
	rest []byte // of a line that is not complete
}

func (l *lineReader) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, after, complete := bytes.Cut(p, []byte("\n"))
		l.rest = append(l.rest, line...)
		if !complete {
			return n, nil
		}
		if err := l.each(l.rest); err != nil {
			return 0, err
		}
		l.rest, p = l.rest[:0], after
	}
}
