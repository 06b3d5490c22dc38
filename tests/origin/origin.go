// Package origin makes real git servers on loopback for tests and measurements:
// repositories with contents that do not change from run to run, served over
// smart HTTP, git:// and ssh, and a proxy that does to their streams what
// networks do.
package origin

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// T is the part of testing.TB that this package needs.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// Repo is a bare repository that mirrors are made of.
type Repo struct {
	t   T
	Dir string
	now int // seconds after the epoch of the next commit
}

// New makes an empty bare repository in dir, with a HEAD that names main.
func New(t T, dir string, initOptions ...string) *Repo {
	t.Helper()
	r := &Repo{t: t, Dir: dir, now: 1_000_000_000}
	args := append([]string{"init", "--quiet", "--bare", "--template=", "--initial-branch=main"}, initOptions...)
	run(t, nil, "git", append(args, dir)...)
	return r
}

// Git runs git in the repository and returns what it prints, trimmed.
func (r *Repo) Git(args ...string) string {
	r.t.Helper()
	return run(r.t, nil, "git", append([]string{"--git-dir=" + r.Dir}, args...)...)
}

// GitIn is Git with that text on its standard input.
func (r *Repo) GitIn(stdin string, args ...string) string {
	r.t.Helper()
	return run(r.t, strings.NewReader(stdin), "git", append([]string{"--git-dir=" + r.Dir}, args...)...)
}

// Commit adds a commit with these files to a branch, which begins with it if it
// does not exist, and returns the commit's id.
func (r *Repo) Commit(branch string, files map[string]string) string {
	r.t.Helper()
	var stream bytes.Buffer
	ref := "refs/heads/" + branch
	r.now++
	fmt.Fprintf(&stream, "commit %s\ncommitter T <t@example.org> %d +0000\n", ref, r.now)
	message := fmt.Sprintf("commit %d", r.now)
	fmt.Fprintf(&stream, "data %d\n%s\n", len(message), message)
	if r.Has(ref) {
		fmt.Fprintf(&stream, "from %s^0\n", ref)
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(&stream, "M 100644 inline %s\ndata %d\n%s\n", name, len(files[name]), files[name])
	}
	run(r.t, &stream, "git", "--git-dir="+r.Dir, "fast-import", "--quiet", "--force")
	return r.Git("rev-parse", ref)
}

// Import feeds a fast-import stream to the repository.
func (r *Repo) Import(stream string) {
	r.t.Helper()
	run(r.t, strings.NewReader(stream), "git", "--git-dir="+r.Dir, "fast-import", "--quiet", "--force")
}

// Has reports whether a ref exists.
func (r *Repo) Has(ref string) bool {
	cmd := exec.Command("git", "--git-dir="+r.Dir, "show-ref", "--verify", "--quiet", ref)
	cmd.Env = environ()
	return cmd.Run() == nil
}

// environ keeps the configuration of whoever runs the tests out of them.
func environ() []string {
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=T", "GIT_AUTHOR_EMAIL=t@example.org", "GIT_AUTHOR_DATE=1000000000 +0000",
		"GIT_COMMITTER_NAME=T", "GIT_COMMITTER_EMAIL=t@example.org", "GIT_COMMITTER_DATE=1000000000 +0000",
	}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GIT_SSH_COMMAND"} {
		env = append(env, name+"="+os.Getenv(name))
	}
	return env
}

// Command is a git command for clients in tests, with the same environment.
func Command(args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Env = environ()
	return cmd
}

func run(t T, stdin io.Reader, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = environ()
	cmd.Stdin = stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// waitFor tries until what is true, and fails the test if it does not become so.
func waitFor(t T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within two minutes: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// execPath is where git keeps its helpers.
func execPath(t T, name string) string {
	t.Helper()
	return filepath.Join(run(t, nil, "git", "--exec-path"), name)
}
