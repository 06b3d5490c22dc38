package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	progress func(string) // told of each line of progress; nil for no progress
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
	cmd, stderr := g.prepare(ctx, c)
	var out *faultWriter
	if c.stdout != nil {
		out = &faultWriter{w: c.stdout}
		cmd.Stdout = out
	}
	err := g.start(cmd)
	if err == nil {
		err = cmd.Wait()
		// The leader is gone; what it left behind goes too.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if out != nil && out.err != nil && ctx.Err() == nil {
		return out.err
	}
	if err == nil {
		return nil
	}
	return c.error(ctx, err, stderr.text())
}

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

	stderr := &stderrText{progress: c.progress}
	cmd := exec.CommandContext(ctx, "git", args...)
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

func (g *Git) start(cmd *exec.Cmd) error {
	if g.leash != nil {
		return g.leash.start(cmd)
	}
	return cmd.Start()
}

// error explains why a command failed.
func (c *command) error(ctx context.Context, err error, stderr string) error {
	e := &Error{
		Command: c.name,
		Args:    redactAll(c.args, c.secrets),
		Stderr:  redact(stderr, c.secrets),
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
	return e
}

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

// faultWriter remembers why writing failed: git itself only sees a broken pipe.
type faultWriter struct {
	w   io.Writer
	err error
}

func (f *faultWriter) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err != nil {
		f.err = err
	}
	return n, err
}

// ReadFrom copies with a buffer that suits archives better than io.Copy's.
func (f *faultWriter) ReadFrom(r io.Reader) (total int64, err error) {
	buf := make([]byte, 128<<10)
	for {
		n, rerr := r.Read(buf)
		if n > 0 {
			if _, err := f.Write(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
		}
		if rerr == io.EOF {
			return total, nil
		}
		if rerr != nil {
			return total, rerr
		}
	}
}
