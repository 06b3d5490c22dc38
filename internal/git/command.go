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
	// grace is how long a process group has between TERM and KILL.
	grace = 3 * time.Second

	// maxOutput bounds what a command may print for us to read as a whole:
	// about a million refs.
	maxOutput = 256 << 20
)

// command is one call of git.
type command struct {
	name     string   // the git command, such as "fetch"
	dir      string   // the repository; empty for none
	global   []string // options before the name
	args     []string // what follows the name
	settings []string // pairs of key and value, for this call only
	env      []string // variables for this call only
	secrets  []string // words to keep out of errors
	stdin    io.Reader
	stdout   io.Writer
	progress func(string)  // told of each line of progress; nil for no progress
	trace    func(string)  // told of each header that GIT_TRACE_CURL shows as received; nil for no trace
	heard    func(finding) // told of each message about an object; nil for none
	memory   uint64        // the most that each of its processes may allocate, in bytes, if that is less than for all
	helpers  bool          // it starts others as soon as it runs: see bornLimited
	patient  bool          // leave the CPU to others
}

// output runs a command and returns what it prints.
func (g *Git) output(ctx context.Context, c command) ([]byte, error) {
	var out bytes.Buffer
	c.stdout = &limitedWriter{w: &out, left: maxOutput}
	if err := g.run(ctx, c); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// run runs a command to its end. When ctx ends first, so do all its processes.
// Every error is an [*Error], except one of c.stdout, which is returned as it is.
func (g *Git) run(ctx context.Context, c command) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd, stderr := g.prepare(ctx, c)
	var writeErr error
	err := g.start(cmd, c, func(out io.Reader) {
		if writeErr = copyOut(c.stdout, out); writeErr != nil {
			cancel(writeErr) // git itself would only see a broken pipe
		}
	})
	if err == nil {
		err = cmd.Wait()
		// The leader is gone; what it left behind goes too.
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

// start starts the process of a command and passes its output, if anybody wants
// it, to copy, which reads it to the end.
func (g *Git) start(cmd *exec.Cmd, c command, copy func(io.Reader)) error {
	var out, in *os.File
	if c.stdout != nil {
		var err error
		if out, in, err = os.Pipe(); err != nil {
			return err
		}
		defer out.Close()
		enlarge(out)
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
		limitMemory(cmd.Process.Pid, g.memoryOf(c))
	}
	if c.patient {
		lowerPriority(cmd.Process.Pid)
	}
	if out != nil {
		copy(out)
	}
	return nil
}

const (
	// bulk is the size in bytes from which on an output is worth waiting for: git
	// writes an archive in pieces of 10 kB, and to wake up for each of them costs
	// more than to copy it.
	bulk = 256 << 10

	// breath is how long a pipe is left to fill then. In this time git writes much
	// less than the pipe holds.
	breath = 2 * time.Millisecond
)

// copyOut copies all output to where it is wanted. An error of reading is the end: what
// the command has to say about it, its status says.
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
			time.Sleep(breath)
		}
	}
}

// buffers are for copyOut: archives come many at a time and often.
var buffers = sync.Pool{New: func() any { b := make([]byte, bulk); return &b }}

// prepare builds the process of a command, in a group of its own that ends with
// ctx: TERM, so that git removes its temporary files, and KILL for what remains,
// because helpers such as git-remote-https outlive TERM.
func (g *Git) prepare(ctx context.Context, c command) (*exec.Cmd, *stderrText) {
	dir := c.dir
	if dir == "" {
		dir = os.DevNull + "/none" // git would search for a repository
	}
	args := append([]string{"--git-dir=" + dir}, c.global...)
	args = append(args, c.name)
	args = append(args, c.args...)

	stderr := &stderrText{progress: c.progress, trace: c.trace, heard: c.heard, secrets: c.secrets}
	cmd := exec.CommandContext(ctx, "git", args...)
	if c.helpers && cmd.Err == nil {
		bornLimited(cmd, g.memoryOf(c))
	}
	cmd.Dir = "/"
	cmd.Env = append(g.environ(c.settings), c.env...)
	cmd.Stdin = c.stdin
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if g.leash != nil {
		cmd.ExtraFiles = []*os.File{g.leash.file}
	}
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		time.AfterFunc(grace, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
		return syscall.Kill(group, syscall.SIGTERM)
	}
	cmd.WaitDelay = grace + time.Second
	return cmd, stderr
}

// memoryOf is how much memory each process of a command may allocate, in bytes: what comes
// from an origin is small, and can be made to grow without end.
func (g *Git) memoryOf(c command) uint64 {
	if c.memory > 0 && c.memory < g.memory {
		return c.memory
	}
	return g.memory
}

// bornLimited has a shell set the limit of memory, in bytes, and become the command, so that
// no helper is without it. A limit that is set from here, once git runs, misses a helper
// whose fork has begun; it costs nothing, though, where the shell takes a third as long as a
// short git does.
func bornLimited(cmd *exec.Cmd, bytes uint64) {
	// A limit that is lower already stays.
	script := fmt.Sprintf(`command ulimit -d %d 2>/dev/null; exec "$0" "$@"`, bytes>>10)
	cmd.Args = append([]string{"sh", "-c", script, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
}

// error explains why a command failed.
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

// lowSpace is when a disk counts as full, in bytes. Git does not always tell that it is
// why it failed, and has already removed again what it could not write.
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
