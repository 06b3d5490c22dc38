package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// grace is the time between TERM and KILL of a process group.
	grace = 3 * time.Second

	// maxOutput bounds what a command may print for output to return, in bytes: the list of
	// about a million refs.
	maxOutput = 256 << 20
)

// command is one call of git.
type command struct {
	name        string   // the git command, such as "fetch"
	dir         string   // the repository; empty for none
	global      []string // options before the name
	args        []string // what follows the name
	settings    []string // pairs of key and value, for this command only
	env         []string // variables for this command only
	secrets     []string // words to keep out of errors
	stdin       io.Reader
	stdout      io.Writer
	progress    func(Progress) // gets each line of progress; may be nil
	trace       func(string)   // gets each header that GIT_TRACE_CURL shows as received; nil if there is no trace
	found       func(finding)  // gets each message about an object; may be nil
	packs       io.Writer      // gets the packs that are received; nil for nobody
	answers     *lastAnswer    // is told what web servers answer; may be nil
	memory      uint64         // the most that each process may allocate, in bytes, if less than the common limit
	helpers     bool           // it starts other processes at once: see limitFromStart
	lowPriority bool
	maxFile     int64 // the most that a file may have which it writes, in bytes; 0 for no limit; needs helpers
	public      bool  // it connects to public addresses only
}

// output runs a command and returns its standard output.
func (g *Git) output(ctx context.Context, c command) ([]byte, error) {
	var out bytes.Buffer
	c.stdout = &limitedWriter{w: &out, left: maxOutput}
	if err := g.run(ctx, c); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// run runs a command to its end, which comes early for all its processes if ctx ends. Every
// error is an [*Error], except an error of c.stdout, which is returned as it is.
func (g *Git) run(ctx context.Context, c command) error {
	if c.public {
		return g.runGuarded(ctx, c)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd, stderr := g.prepare(ctx, c)
	packs, err := tracePacks(cmd, c.packs)
	if err != nil {
		return c.error(ctx, err, "")
	}
	defer packs.wait()
	answers, err := c.answers.trace(cmd)
	if err != nil {
		packs.started()
		return c.error(ctx, err, "")
	}
	defer answers.wait()
	var writeErr error
	err = g.start(cmd, c, func(out io.Reader) {
		if writeErr = copyOut(c.stdout, out); writeErr != nil {
			cancel(writeErr) // git itself would only see a broken pipe
		}
	})
	packs.started()
	answers.started()
	if err == nil {
		err = cmd.Wait()
		g.leash.ended()
		// Processes that git started may still run.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	switch {
	case writeErr != nil:
		return writeErr
	case err == nil:
		return nil
	default:
		return c.error(ctx, err, stderr.text())
	}
}

// start starts the process of a command. If the output is wanted, it is passed to copy, which
// reads it to the end.
func (g *Git) start(cmd *exec.Cmd, c command, copy func(io.Reader)) error {
	var out, in *os.File
	if c.stdout != nil {
		var err error
		if out, in, err = os.Pipe(); err != nil {
			return err
		}
		defer out.Close()
		enlargePipe(out)
		cmd.Stdout = in
	}
	err := g.leash.start(cmd)
	if in != nil {
		in.Close()
	}
	if err != nil {
		return err
	}
	if !c.helpers {
		limitMemory(cmd.Process.Pid, g.memoryLimit(c))
	}
	if c.lowPriority {
		lowerPriority(cmd.Process.Pid)
	}
	if out != nil {
		copy(out)
	}
	return nil
}

const (
	// bulk is from which size on an output is read in large pieces, in bytes: git writes an
	// archive in pieces of 10 kB, and to wake up for each of them costs more than to copy it.
	bulk = 512 << 10

	// fillPause is the pause in which a pipe fills. Git writes less than the pipe holds in this
	// time.
	fillPause = 3 * time.Millisecond
)

// copyOut copies all of a command's output to w. It returns the errors of w only: if reading
// fails, the command's exit status says why.
func copyOut(w io.Writer, out io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for total := 0; ; {
		n, err := out.Read(*buf)
		if n > 0 {
			if _, err := w.Write((*buf)[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
		if total += n; total > bulk && n < bulk/4 {
			time.Sleep(fillPause)
		}
	}
}

// buffers are for copyOut: there are many archives, often several at a time.
var buffers = sync.Pool{New: func() any { b := make([]byte, bulk); return &b }}

// prepare builds the process of a command, in a group of its own. When ctx ends, the group gets
// TERM, so that git removes its temporary files, and later KILL, because helpers such as
// git-remote-https survive TERM.
func (g *Git) prepare(ctx context.Context, c command) (*exec.Cmd, *stderrText) {
	dir := c.dir
	if dir == "" {
		dir = os.DevNull + "/none" // else git would search for a repository
	}
	args := append([]string{"--git-dir=" + dir}, c.global...)
	args = append(args, c.name)
	args = append(args, c.args...)

	stderr := &stderrText{progress: c.progress, isFetch: c.name == "fetch", trace: c.trace, found: c.found, secrets: c.secrets}
	cmd := exec.CommandContext(ctx, "git", args...)
	if c.helpers && cmd.Err == nil {
		limitFromStart(cmd, g.memoryLimit(c), c.maxFile)
	}
	cmd.Dir = "/"
	cmd.Env = append(g.environ(c.settings), c.env...)
	cmd.Stdin = c.stdin
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endAsGroup(cmd, g.leash)
	return cmd, stderr
}

// endAsGroup has the process group of a command end when its context does, and, if the daemon is
// killed, by the leash.
func endAsGroup(cmd *exec.Cmd, leash *Leash) {
	if leash != nil {
		cmd.ExtraFiles = []*os.File{leash.file}
	}
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		time.AfterFunc(grace, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
		return syscall.Kill(group, syscall.SIGTERM)
	}
	cmd.WaitDelay = grace + time.Second
}

// memoryLimit is how much each process of a command may allocate, in bytes. An origin can make
// git need memory without end, by answers of a few bytes.
func (g *Git) memoryLimit(c command) uint64 {
	if c.memory > 0 && c.memory < g.memory {
		return c.memory
	}
	return g.memory
}

// limitFromStart has a shell set the limits of memory and, unless it is 0, of a file, in bytes, and
// become the command, so that every helper gets the limits. When a running git is limited from outside (limitMemory), a
// helper that it is just forking escapes. But that costs nothing, while a shell takes a third
// of the time of a short git command.
func limitFromStart(cmd *exec.Cmd, bytes uint64, maxFile int64) {
	// ulimit fails, and the old limit stays, if that is lower.
	script := fmt.Sprintf(`command ulimit -d %d 2>/dev/null; `, bytes>>10)
	if maxFile > 0 { // in blocks of 512 bytes (POSIX); without the signal, a write fails with EFBIG
		script += fmt.Sprintf(`trap '' XFSZ; command ulimit -f %d 2>/dev/null; `, (maxFile+511)/512)
	}
	script += `exec "$0" "$@"`
	cmd.Args = append([]string{"sh", "-c", script, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
}

// error describes why a command failed.
func (c *command) error(ctx context.Context, err error, stderr string) error {
	e := &Error{
		Command: c.name,
		Args:    redactAll(c.args, c.secrets),
		Stderr:  stderr,
		Err:     err,
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		e.Err = nil
		e.ExitCode = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			e.Signal = status.Signal()
		}
	}
	if ctx.Err() != nil {
		e.Err = context.Cause(ctx)
	}
	if left, ok := spaceLeft(c.dir); e.Err == nil && ok && left < lowSpace && !strings.Contains(e.Stderr, "No space left") {
		e.Stderr = strings.TrimSpace(e.Stderr + fmt.Sprintf("\nthe disk is full: %d bytes are left", left))
	}
	return e
}

// lowSpace is the free space below which a disk counts as full, in bytes. Git does not always
// say that it failed for that reason, and it has already removed what it could not write.
const lowSpace = 256 << 10

// limitedWriter fails when more than left bytes are written to it.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, fmt.Errorf("git printed more than %d bytes", maxOutput)
	}
	return l.w.Write(p)
}
