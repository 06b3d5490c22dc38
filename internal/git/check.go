package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// ErrDamaged is wrapped in the error for a file that git could not have written.
var ErrDamaged = errors.New("damaged")

// Check reads all objects of the repository and what connects them to its refs (git-fsck(1)),
// at low priority. damage says what is broken; err says why that could not be found out. Whole
// objects with a bad format, which old histories have, are no damage at any level of [Fsck]:
// warnings count them.
func (r Repo) Check(ctx context.Context) (damage error, warnings Warnings, err error) {
	failed, warnings, err := r.fsck(ctx)
	if failed != nil && saysAny(failed.Stderr, inputError) {
		// Disks retry by themselves, networks and buses do not: only what comes twice counts.
		failed, warnings, err = r.fsck(ctx)
	}
	if err != nil || failed == nil {
		return nil, warnings, err
	}
	damage, err = judge(failed)
	return damage, warnings, err
}

// fsck runs git-fsck(1) to its end. If that fails, failed.Stderr has all its output but the
// messages about the format of objects.
func (r Repo) fsck(ctx context.Context) (failed *Error, warnings Warnings, err error) {
	version, err := r.git.Version(ctx)
	if err != nil {
		return nil, nil, err
	}
	counted := tally{}
	var out bytes.Buffer
	err = r.inCheckView(ctx, func(view Repo) error {
		return r.git.run(ctx, command{
			name: "fsck", dir: view.Dir, args: fsckArgs(version), lowPriority: true,
			stdout: &limitedWriter{w: &out, left: maxOutput}, found: counted.record,
		})
	})
	warnings = counted.warnings()
	if !errors.As(err, &failed) || failed.Err != nil || outOfMemory(err) {
		return nil, warnings, err
	}
	said := out.String() + failed.Stderr
	if r.headIsTooLong() {
		said = invalidHead.ReplaceAllString(said, "")
	}
	failed.Stderr = strings.TrimSpace(said)
	return failed, warnings, nil
}

// inCheckView calls work with a view of a repository that was copied in, so that the
// repository's own configuration cannot permit that objects are missing. If git cannot work
// with that configuration, the error is git's.
func (r Repo) inCheckView(ctx context.Context, work func(Repo) error) error {
	if r.isOurs() {
		return work(r)
	}
	idLength, err := r.IDLength(ctx)
	if err != nil {
		return err
	}
	return r.inViewOf(viewOptions{parts: viewParts}, idLength, work)
}

var invalidHead = regexp.MustCompile(`(?m)^error: invalid HEAD$`)

// headIsTooLong reports whether HEAD names a branch that cannot be a file. Git finds such a
// HEAD invalid.
func (r Repo) headIsTooLong() bool {
	head, err := r.readHead(Listing{})
	return err == nil && head.Ref != "" && (!fitsFile(head.Ref) || !fitsFile(filepath.Join(r.Dir, head.Ref)))
}

// judge tells what a failed git-fsck or git-rev-list has found: what is broken, or why that
// could not be found out. If the machine kept git from reading, git's words about objects mean
// nothing: what it calls missing may only have been unreadable.
func judge(failed *Error) (damage, err error) {
	broken := damages(failed.Stderr)
	switch {
	case isBadRead(failed.Signal):
		return failed, nil
	case failed.Signal != 0, failed.ExitCode == 126, failed.ExitCode == 127, saysAny(strings.Join(broken, "\n"), machineWords...):
		return nil, failed
	case len(broken) > 0:
		return fmt.Errorf("git %s: %s", failed.Command, strings.Join(broken[:min(len(broken), maxDamages)], "\n")), nil
	}
	return nil, nil
}

// fsckArgs are the arguments for a version of git. Since 2.50 git also checks how refs are
// written, which does not matter here. It is strict, so that it says the same of an object as
// when the object arrives ([Repo.Fetch]).
func fsckArgs(version string) []string {
	args := []string{"--full", "--strict", "--no-dangling", "--no-reflogs", "--no-progress"}
	if atLeast(version, 2, 50) {
		args = append(args, "--no-references")
	}
	return args
}

// maxDamages is how many lines of damage an error shows.
const maxDamages = 10

// formatLine is a line of git-fsck about the format of an object or a ref, which it names by a
// word such as badDate (git-fsck(1)), or a mere warning.
var formatLine = regexp.MustCompile(`^((error|warning) in |(warning|notice|hint):|error: [^:]+: ([a-z]+([A-Z][a-z0-9]*)+: |not a commit$))`)

// damages picks the lines about unreadable objects from the output of git-fsck. Lines about the
// format are not among them: "error in commit 8d3f…: badDate: …", "error: refs/heads/.x:
// badRefName: …", and, for a branch that names no commit, "error: refs/heads/x: not a commit".
func damages(said string) (lines []string) {
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if line == "" || formatLine.MatchString(line) {
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// isBadRead reports whether git dies of the signal when a file that it has mapped became
// shorter, is on a bad sector, or has wrong offsets in it. Other signals come from outside,
// such as the kernel's when memory is short.
func isBadRead(s syscall.Signal) bool { return s == syscall.SIGBUS || s == syscall.SIGSEGV }

// machineWords are what git says, in lower case, when the machine or its operator keeps it from
// reading a repository that may be whole.
var machineWords = []string{
	"out of memory", "cannot allocate memory", "permission denied", "operation not permitted", "too many open files",
	"cannot fork", "unable to create thread", "resource temporarily unavailable", "no space left", "the disk is full",
	"disk quota exceeded", "stale file handle", "died of signal 9", "died of signal 15",
}

// inputError is the kernel's message for a disk that does not answer or has lost data.
const inputError = "input/output error"

// saysAny reports whether any of these words, which are in lower case, is in a text.
func saysAny(text string, words ...string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// damageWords are what git says, in lower case, about objects, packs, refs and configurations
// that it cannot read.
var damageWords = []string{
	"corrupt", "bad object", "missing", "unable to read", "could not read", "failed to read", "cannot read",
	"not a git repository", "bad config", "cannot chdir", "unknown repository extension", "expected git repo version",
	"truncated", "inflate", "mismatch", "does not match", "checksum",
	"unresolved delta", "did not send all necessary objects", "broken", "could not parse", "unable to parse",
	"cannot be accessed", "is empty", "unexpected line", "invalid object", "unable to find", "not a valid object",
	"bad tree", "failed to traverse", "pack has bad", "invalid sha1 pointer", "not a tree object",
	"not a valid 'sha", "file is too small", "index file", inputError,
}

// SuggestsDamage reports whether damage of the repository would explain an error. Only
// [Repo.Check] tells whether there is damage.
func SuggestsDamage(err error) bool {
	if errors.Is(err, ErrDamaged) {
		return true
	}
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Err != nil || outOfMemory(err) || e.Command == "ls-remote" || e.Command == "clone" { // these read no local repository
		return false
	}
	said := e.Stderr
	if e.Command == "fetch" {
		said = localLines(said)
	}
	return isBadRead(e.Signal) || saysAny(said, damageWords...) && !saysAny(said, machineWords...)
}

// localLines are the lines of a fetch's standard error that are about the local repository:
// without the remote's own words, and those about the remote.
func localLines(said string) string {
	var lines strings.Builder
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "remote: ") && !saysAny(line, "from remote repository", "on the remote side") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// localFaults are the kernel's errors when a disk of this machine cannot be written or read.
var localFaults = []error{syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT, syscall.EIO}

// localWords are git's words for the same, in lower case. Some of them say only what failed,
// and not why.
var localWords = []string{
	"no space left", "the disk is full", "read-only file system", "disk quota exceeded", inputError,
	"unable to create temporary file", "insufficient permission for adding an object",
}

// IsLocalFault reports whether a disk of this machine made the work fail, so that another
// source would not have helped.
func IsLocalFault(err error) bool {
	if slices.ContainsFunc(localFaults, func(fault error) bool { return errors.Is(err, fault) }) {
		return true
	}
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Err == nil && saysAny(localLines(e.Stderr), localWords...)
}

// Recover copies the objects of refs from another repository of this machine, which may be
// damaged. Those of have are here already. It returns the refs whose objects are here now; the
// error says why others are missing.
func (r Repo) Recover(ctx context.Context, from Repo, refs, have []Ref) (saved []Ref, err error) {
	if len(refs) == 0 {
		return nil, nil
	}
	ids := make([]string, len(refs))
	for i, ref := range refs {
		ids[i] = ref.ID
	}
	if err := r.copyObjects(ctx, from, ids, have); err == nil {
		return refs, nil
	}
	for _, ref := range refs {
		if refErr := r.copyObjects(ctx, from, []string{ref.ID}, have); refErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", ref.Name, refErr))
		} else {
			saved = append(saved, ref)
		}
		if ctx.Err() != nil {
			return saved, errors.Join(err, context.Cause(ctx))
		}
	}
	return saved, err
}

// alternate is a repository's object directory as an element of
// GIT_ALTERNATE_OBJECT_DIRECTORIES, which lists several (git(1)).
func alternate(dir string) string {
	path := filepath.Join(dir, "objects")
	if strings.ContainsAny(path, string(os.PathListSeparator)+`"\`) {
		path = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
	}
	return path
}
