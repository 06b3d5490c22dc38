package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/reconquest/sould/internal/credential"
)

// A credential command gives credentials for a server. It is one of git's credential helpers, but
// git does not run it: a Source does, which bounds and shares the runs, and the logins that it gives
// reach git as those of a POST do. Like git, this package sends them only when the server has asked
// for some, or did so before.

// NewCredentials returns a source of credentials whose commands hold a leash, which may be nil. They
// are ended with life.
func NewCredentials(life context.Context, leash *Leash) *credential.Source {
	return credential.NewSource(life, func(ctx context.Context, command, operation string, input []byte) ([]byte, error) {
		return runCredential(ctx, leash, command, operation, input)
	})
}

var errCredentialTooLong = fmt.Errorf("it printed more than %d KiB", credential.MaxAnswer>>10)

// runCredential runs a command as git runs its helpers, in a process group of its own and without a
// terminal. See [credential.Runner]. Its standard error is read by nobody: what the command writes there
// can be a secret in any form, and errors are shown to whoever reads a mirror.
func runCredential(ctx context.Context, leash *Leash, command, operation string, input []byte) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", credentialLine(command, operation))
	cmd.Dir = "/"
	cmd.Env = credentialEnv(os.Environ())
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stdout = writerFunc(func(p []byte) (int, error) {
		if out.Len()+len(p) > credential.MaxAnswer {
			cancel(errCredentialTooLong)
			return 0, errCredentialTooLong
		}
		return out.Write(p)
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // with a terminal, it could ask for a password
	endAsGroup(cmd, leash)
	err := leash.start(cmd)
	if err != nil {
		return nil, err
	}
	err = cmd.Wait()
	leash.ended()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has left behind
	switch {
	case context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return nil, credentialError(err)
	}
	return out.Bytes(), nil
}

// writerFunc is a function as a writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// credentialLine is the line for the shell that git would make of a helper (credential.helper in
// gitcredentials(7)): a snippet for the shell behind "!", an absolute path, or the name of a
// "git credential-…".
func credentialLine(command, operation string) string {
	snippet, isSnippet := strings.CutPrefix(command, "!")
	switch {
	case isSnippet:
		command = snippet
	case !strings.HasPrefix(command, "/"):
		command = "git credential-" + command
	}
	return command + " " + operation
}

// CheckCredentialCommand returns an error if a command begins with the path of a program that cannot
// be run.
func CheckCredentialCommand(command string) error {
	path, _, _ := strings.Cut(strings.TrimSpace(command), " ")
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "'\"\\$`*?[;&|<>()\t") {
		return nil // what it is, only the shell knows
	}
	_, err := exec.LookPath(path)
	return err
}

// notForCommands are variables that concern only this process: those of its service manager, and
// those that set keys of its configuration.
var notForCommands = regexp.MustCompile(`^(NOTIFY_SOCKET|LISTEN_[A-Z]+|WATCHDOG_[A-Z]+|SOULD_[^=]*|GIT_[^=]*)=`)

// credentialEnv is the environment of a credential command: that of the daemon, in which clouds and
// service managers name the files of keys.
func credentialEnv(environ []string) []string {
	env := slices.DeleteFunc(slices.Clone(environ), notForCommands.MatchString)
	return append(env, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=")
}

// credentialError says how a command failed: by its exit status or a signal, and what a shell means by
// that.
func credentialError(err error) error {
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) {
		return err
	}
	switch words := exit.Error(); exit.ExitCode() { // "exit status 3", "signal: killed"
	case 126:
		return errors.New(words + ", as of a program that may not be run")
	case 127:
		return errors.New(words + ", as of a program that is not there")
	default:
		return errors.New(words)
	}
}

// withCredentials is the remote with what this machine knows of its credentials: a command for its
// server, or else ~/.netrc. Credentials of its own come first.
func (g *Git) withCredentials(r Remote) Remote {
	if r.Password != "" || r.Direct || r.isAuthorized() {
		return r
	}
	asker := g.credentials.Ask(r.webURL(), r.User)
	if asker == nil {
		return r.withNetrc()
	}
	r.asker, r.askedUser, r.User, r.login = asker, r.User, "", asker.Current()
	return r
}

// isAuthorized reports whether the remote has credentials in a header.
func (r Remote) isAuthorized() bool {
	return slices.ContainsFunc(r.Headers, func(line string) bool { return strings.HasPrefix(strings.ToLower(line), "authorization:") })
}

// authenticated calls work with a remote and, as long as its server wants other credentials and
// its command gives some, again with these.
func (r Remote) authenticated(ctx context.Context, work func(Remote) error) error {
	if r.asker == nil {
		return work(r)
	}
	for {
		r.login = r.asker.Current()
		err := work(r)
		if !wantsLogin(err) {
			return err
		}
		_, failed := r.asker.Next(ctx)
		switch {
		case credential.IsRefused(failed):
			return fmt.Errorf("%w: %w", failed, err) // what the server says
		case failed != nil:
			return failed
		}
	}
}

var wantsLoginText = regexp.MustCompile(`(?i)authentication failed|could not read (username|password)|returned error: 401`)

// wantsLogin reports whether git failed because a web server wants credentials, or other ones.
func wantsLogin(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Err == nil && wantsLoginText.MatchString(quoted.ReplaceAllString(e.Stderr, "''"))
}
