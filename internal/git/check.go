package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrDamaged is in the error of a file that is not what a repository has.
var ErrDamaged = errors.New("damaged")

// Check reads all objects of the repository and what connects them to its refs
// (git-fsck(1)), at low priority. damage says what is broken; err, that this could not
// be found out. Objects that are whole but of bad form, as old histories have them, are
// no damage.
func (r Repo) Check(ctx context.Context) (damage, err error) {
	var out bytes.Buffer
	err = r.git.run(ctx, command{
		name: "fsck", dir: r.Dir, args: []string{"--full", "--no-dangling", "--no-reflogs", "--no-progress"}, patient: true,
		stdout: &limitedWriter{w: &out, left: maxOutput},
	})
	e := (*Error)(nil)
	switch {
	case err == nil:
		return nil, nil
	case !errors.As(err, &e) || e.Err != nil:
		return nil, err
	case e.Signal != 0:
		return err, nil
	}
	if broken := damages(out.String() + e.Stderr); len(broken) > 0 {
		return fmt.Errorf("git fsck: %s", strings.Join(broken, "\n")), nil
	}
	return nil, nil
}

// maxDamages is how many lines of what is broken are told.
const maxDamages = 10

// damages picks from what git-fsck says the lines about objects that cannot be read.
// About the form of others it says "error in commit 8d3f…: badDate: …".
func damages(said string) (lines []string) {
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		form := strings.HasPrefix(line, "error in ") || strings.HasPrefix(line, "warning in ")
		if line == "" || form || strings.HasPrefix(line, "notice:") || len(lines) == maxDamages {
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// signsOfDamage are words of git about objects, packs, refs and configurations that it
// cannot read.
var signsOfDamage = []string{
	"corrupt", "bad object", "missing", "unable to read", "could not read", "failed to read", "cannot read",
	"not a git repository", "bad config", "truncated", "inflate", "mismatch", "does not match", "checksum",
	"unresolved delta", "did not send all necessary objects", "broken", "could not parse", "unable to parse",
	"cannot be accessed", "is empty", "unexpected line", "invalid object", "unable to find", "not a valid object",
	"bad tree", "failed to traverse", "pack has bad", "invalid sha1 pointer", "not a tree object",
	"not a valid 'sha", "file is too small", "index file",
}

// Suspicious reports whether damage of the repository would explain an error. Only
// Check tells whether that is the reason.
func Suspicious(err error) bool {
	if errors.Is(err, ErrDamaged) {
		return true
	}
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Err != nil {
		return false
	}
	if e.Signal == syscall.SIGBUS { // a mapped file became shorter
		return true
	}
	said := strings.ToLower(e.Stderr)
	for _, sign := range signsOfDamage {
		if strings.Contains(said, sign) {
			return true
		}
	}
	return false
}

// Salvage brings refs' objects from another, perhaps damaged, repository of this
// machine. What the refs in have lead to is here already. It returns the refs that can
// be kept; the error says why others cannot.
func (r Repo) Salvage(ctx context.Context, from Repo, refs, have []Ref) (saved []Ref, err error) {
	if len(refs) == 0 {
		return nil, nil
	}
	if err := r.bringLocal(ctx, from, refs, have); err == nil {
		return refs, nil
	}
	for _, ref := range refs {
		if one := r.bringLocal(ctx, from, []Ref{ref}, have); one != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", ref.Name, one))
		} else {
			saved = append(saved, ref)
		}
		if ctx.Err() != nil {
			return saved, errors.Join(err, context.Cause(ctx))
		}
	}
	return saved, err
}

// bringLocal packs what some refs of a repository need beyond what is here.
func (r Repo) bringLocal(ctx context.Context, from Repo, refs, have []Ref) error {
	var ids strings.Builder
	for _, ref := range refs {
		ids.WriteString(ref.ID + "\n")
	}
	for _, ref := range have {
		ids.WriteString("^" + ref.ID + "\n")
	}
	_, err := r.git.output(ctx, command{
		name: "pack-objects", dir: r.Dir,
		args:  []string{"--quiet", "--revs", filepath.Join(r.Dir, "objects", "pack", "pack")},
		env:   []string{"GIT_ALTERNATE_OBJECT_DIRECTORIES=" + alternate(from.Dir)},
		stdin: strings.NewReader(ids.String()),
	})
	return err
}

// alternate is a repository's object directory in the form of an environment variable
// that lists several (git(1)).
func alternate(dir string) string {
	path := filepath.Join(dir, "objects")
	if strings.ContainsAny(path, string(os.PathListSeparator)+`"\`) {
		path = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
	}
	return path
}
