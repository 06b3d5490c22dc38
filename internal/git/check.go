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

// ErrDamaged is in the error of a file that is not what a repository has.
var ErrDamaged = errors.New("damaged")

// Check reads all objects of the repository and what connects them to its refs
// (git-fsck(1)), at low priority. damage says what is broken; err, that this could not
// be found out. Objects that are whole but of bad form, as old histories have them, are
// no damage, whatever a [Fsck] says: warnings count them.
func (r Repo) Check(ctx context.Context) (damage error, warnings Warnings, err error) {
	failed, warnings, err := r.fsck(ctx)
	if failed != nil && saysAny(failed.Stderr, inputError) {
		// Disks try again themselves, networks and buses do not: what comes twice stays.
		failed, warnings, err = r.fsck(ctx)
	}
	if err != nil || failed == nil {
		return nil, warnings, err
	}
	damage, err = judge(failed)
	return damage, warnings, err
}

// fsck runs git-fsck(1) to its end. If that has failed, all that it said is in the
// Stderr of failed, but for what it said about the form of objects.
func (r Repo) fsck(ctx context.Context) (failed *Error, warnings Warnings, err error) {
	version, err := r.git.Version(ctx)
	if err != nil {
		return nil, nil, err
	}
	counted := tally{}
	var out bytes.Buffer
	err = r.inJudgesView(ctx, func(view Repo) error {
		return r.git.run(ctx, command{
			name: "fsck", dir: view.Dir, args: fsckArgs(version), patient: true,
			stdout: &limitedWriter{w: &out, left: maxOutput}, heard: counted.note,
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

// inJudgesView has a repository checked that was copied in, whatever its own configuration
// says, as that objects may be missing. If git cannot work with that configuration, the error
// is git's.
func (r Repo) inJudgesView(ctx context.Context, work func(Repo) error) error {
	if r.isOurs() {
		return work(r)
	}
	idLength, err := r.IDLength(ctx)
	if err != nil {
		return err
	}
	return r.inViewOf(viewing{parts: viewed}, idLength, work)
}

var invalidHead = regexp.MustCompile(`(?m)^error: invalid HEAD$`)

// headIsTooLong reports whether HEAD names a branch that cannot be a file, in which git
// sees no HEAD.
func (r Repo) headIsTooLong() bool {
	head, err := r.readHead(Listing{})
	return err == nil && head.Ref != "" && (!fitsFile(head.Ref) || !fitsFile(filepath.Join(r.Dir, head.Ref)))
}

// judge tells what a git-fsck or git-rev-list that has failed has found: what is broken, or why that
// could not be found out. As long as the machine keeps git from reading, its words about
// objects say nothing: what was found to be missing may only not have been readable.
func judge(failed *Error) (damage, err error) {
	broken := damages(failed.Stderr)
	switch {
	case readsBeyond(failed.Signal):
		return failed, nil
	case failed.Signal != 0, failed.ExitCode == 126, failed.ExitCode == 127, saysAny(strings.Join(broken, "\n"), machineWords...):
		return nil, failed
	case len(broken) > 0:
		return fmt.Errorf("git %s: %s", failed.Command, strings.Join(broken[:min(len(broken), maxDamages)], "\n")), nil
	}
	return nil, nil
}

// fsckArgs are what a version of git is told: since 2.50 it also looks at how refs are
// written, on which nothing here depends. It is strict, so that it says the same of an
// object as when that arrives (Repo.Fetch).
func fsckArgs(version string) []string {
	args := []string{"--full", "--strict", "--no-dangling", "--no-reflogs", "--no-progress"}
	if atLeast(version, 2, 50) {
		args = append(args, "--no-references")
	}
	return args
}

// maxDamages is how many lines of what is broken are told.
const maxDamages = 10

// formLine is a line of git-fsck about the form of an object or a ref, which it names by a
// word such as badDate (git-fsck(1)), or no more than a warning.
var formLine = regexp.MustCompile(`^((error|warning) in |(warning|notice|hint):|error: [^:]+: ([a-z]+([A-Z][a-z0-9]*)+: |not a commit$))`)

// damages picks from what git-fsck says the lines about what cannot be read. About the
// form of objects and refs it says "error in commit 8d3f…: badDate: …" and "error:
// refs/heads/.x: badRefName: …", and about a branch that names no commit "error:
// refs/heads/x: not a commit".
func damages(said string) (lines []string) {
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if line == "" || formLine.MatchString(line) {
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// readsBeyond reports whether a signal is what git dies of when a file that it has mapped
// became shorter, is on a bad sector, or leads it to a wrong place. Every other one comes
// from outside, such as the kernel's when memory is short.
func readsBeyond(s syscall.Signal) bool { return s == syscall.SIGBUS || s == syscall.SIGSEGV }

// machineWords are what git says, in small letters, when the machine or its operator keeps
// it from reading a repository, which may be whole.
var machineWords = []string{
	"out of memory", "cannot allocate memory", "permission denied", "operation not permitted", "too many open files",
	"cannot fork", "unable to create thread", "resource temporarily unavailable", "no space left", "the disk is full",
	"disk quota exceeded", "stale file handle", "died of signal 9", "died of signal 15",
}

// inputError is what the kernel says of a disk that does not answer or has forgotten.
const inputError = "input/output error"

// saysAny reports whether any of these words, in small letters, is in a text.
func saysAny(text string, words ...string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// signsOfDamage are words of git about objects, packs, refs and configurations that it
// cannot read.
var signsOfDamage = []string{
	"corrupt", "bad object", "missing", "unable to read", "could not read", "failed to read", "cannot read",
	"not a git repository", "bad config", "cannot chdir", "unknown repository extension", "expected git repo version", "truncated", "inflate", "mismatch", "does not match", "checksum",
	"unresolved delta", "did not send all necessary objects", "broken", "could not parse", "unable to parse",
	"cannot be accessed", "is empty", "unexpected line", "invalid object", "unable to find", "not a valid object",
	"bad tree", "failed to traverse", "pack has bad", "invalid sha1 pointer", "not a tree object",
	"not a valid 'sha", "file is too small", "index file", inputError,
}

// Suspicious reports whether damage of the repository would explain an error. Only
// Check tells whether that is the reason.
func Suspicious(err error) bool {
	if errors.Is(err, ErrDamaged) {
		return true
	}
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Err != nil || outOfMemory(err) || e.Command == "ls-remote" { // which is about no repository of ours
		return false
	}
	said := e.Stderr
	if e.Command == "fetch" {
		said = ours(said)
	}
	return readsBeyond(e.Signal) || saysAny(said, signsOfDamage...) && !saysAny(said, machineWords...)
}

// ours is what git says of a repository here when it fetches: without what the remote has
// said, and what is said about it.
func ours(said string) string {
	var lines strings.Builder
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "remote: ") && !saysAny(line, "from remote repository", "on the remote side") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// localFaults are what the kernel says when a disk of this machine cannot be written or read.
var localFaults = []error{syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT, syscall.EIO}

// localWords are git's words for that, in small letters, also when it says what it could not
// do rather than why.
var localWords = []string{
	"no space left", "the disk is full", "read-only file system", "disk quota exceeded", inputError,
	"unable to create temporary file", "insufficient permission for adding an object",
}

// IsLocalFault reports whether work has failed because of a disk of this machine, so that no
// other source would have been of help.
func IsLocalFault(err error) bool {
	if slices.ContainsFunc(localFaults, func(fault error) bool { return errors.Is(err, fault) }) {
		return true
	}
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Err == nil && saysAny(ours(e.Stderr), localWords...)
}

// Recover brings refs' objects from another, perhaps damaged, repository of this
// machine. What the refs in have lead to is here already. It returns the refs that can
// be kept; the error says why others cannot.
func (r Repo) Recover(ctx context.Context, from Repo, refs, have []Ref) (saved []Ref, err error) {
	if len(refs) == 0 {
		return nil, nil
	}
	ids := make([]string, len(refs))
	for i, ref := range refs {
		ids[i] = ref.ID
	}
	if err := r.admit(ctx, from, ids, have); err == nil {
		return refs, nil
	}
	for _, ref := range refs {
		if one := r.admit(ctx, from, []string{ref.ID}, have); one != nil {
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

// alternate is a repository's object directory in the form of an environment variable
// that lists several (git(1)).
func alternate(dir string) string {
	path := filepath.Join(dir, "objects")
	if strings.ContainsAny(path, string(os.PathListSeparator)+`"\`) {
		path = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
	}
	return path
}
