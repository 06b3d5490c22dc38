package git

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
)

func TestJudge(t *testing.T) {
	const whole, damaged, unknown = "whole", "damaged", "unknown"
	const missing = "missing blob 8d3f\n"
	for _, c := range []struct {
		failed Error
		want   string
	}{
		{Error{ExitCode: 2, Stderr: missing}, damaged},
		{Error{ExitCode: 128, Stderr: "fatal: bad object refs/heads/main"}, damaged},
		{Error{ExitCode: 128, Stderr: "fatal: mmap failed: Input/output error"}, damaged},
		{Error{ExitCode: 1, Stderr: "error in commit 8d3f: badDate: invalid author/committer line\nnotice: HEAD points to an unborn branch (main)"}, whole},
		{Error{ExitCode: 1, Stderr: "error in tree 8d3f: badName: contains 'permission denied'"}, whole},
		{Error{ExitCode: 1, Stderr: "error in commit 8d3f: badDate: x\n" + missing}, damaged},
		{Error{ExitCode: -1, Signal: syscall.SIGBUS}, damaged},
		{Error{ExitCode: -1, Signal: syscall.SIGSEGV, Stderr: "error: x"}, damaged},
		{Error{ExitCode: 16, Stderr: "error: commit-graph died of signal 11"}, damaged},

		{Error{ExitCode: -1, Signal: syscall.SIGKILL, Stderr: missing}, unknown},
		{Error{ExitCode: -1, Signal: syscall.SIGTERM}, unknown},
		{Error{ExitCode: -1, Signal: syscall.SIGABRT}, unknown},
		{Error{ExitCode: 126, Stderr: "sh: git: not executable"}, unknown},
		{Error{ExitCode: 127, Stderr: "git: error while loading shared libraries: libz.so.1"}, unknown},
		{Error{ExitCode: 128, Stderr: "fatal: Out of memory, malloc failed (tried to allocate 8 bytes)"}, unknown},
		{Error{ExitCode: 128, Stderr: "fatal: mmap failed: Cannot allocate memory"}, unknown},
		{Error{ExitCode: 2, Stderr: missing + "error: unable to open object pack directory: /m/objects/pack: Permission denied"}, unknown},
		{Error{ExitCode: 128, Stderr: "fatal: unable to open x: Too many open files"}, unknown},
		{Error{ExitCode: 128, Stderr: "error: cannot fork() for commit-graph: Resource temporarily unavailable"}, unknown},
		{Error{ExitCode: 128, Stderr: "fatal: unable to create thread: Resource temporarily unavailable"}, unknown},
		{Error{ExitCode: 128, Stderr: "error: write error: No space left on device"}, unknown},
		{Error{ExitCode: 1, Stderr: "error in commit 8d3f: badDate: x\nthe disk is full: 0 bytes are left"}, unknown},
		{Error{ExitCode: 16, Stderr: "error: commit-graph died of signal 9"}, unknown},
	} {
		got := whole
		switch damage, err := judge(&c.failed); {
		case err != nil:
			got = unknown
		case damage != nil:
			got = damaged
		}
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.failed, got, c.want)
		}
		if c.want == unknown && c.failed.Signal == 0 && Suspicious(&c.failed) {
			t.Errorf("%+v is suspicious", c.failed)
		}
	}
}

func TestSuspicious(t *testing.T) {
	const sshDown = "ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.\n\n" +
		"Please make sure you have the correct access rights\nand the repository exists."
	const theirs = "remote: fatal: bad tree object 5b40\nerror: git upload-pack: git-pack-objects died with error.\n" +
		"remote: aborting due to possible repository corruption on the remote side.\nfatal: protocol error: bad pack header\n" +
		"fatal: git upload-pack: aborting due to possible repository corruption on the remote side."
	for _, c := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("%w: HEAD", ErrDamaged), true},
		{errors.New("missing blob"), false},
		{&Error{Command: "fetch", Stderr: sshDown}, false},
		{&Error{Command: "fetch", Stderr: theirs}, false},
		{&Error{Command: "fetch", Stderr: theirs + "\nerror: refs/heads/main does not point to a valid object!\nfatal: bad object 8d3f"}, true},
		{&Error{Command: "fetch", Err: context.Canceled, Stderr: "fatal: bad object 8d3f"}, false},
		{&Error{Command: "ls-remote", Stderr: "fatal: bad object 8d3f"}, false},
		{&Error{Command: "upload-pack", Stderr: theirs}, true}, // it is the remote
		{&Error{Command: "upload-pack", Stderr: "error: pack-objects died of signal 9\n" + theirs}, false},
		{&Error{Command: "archive", Stderr: "fatal: not a tree object: 8d3f"}, true},
		{&Error{Command: "archive", Signal: syscall.SIGBUS}, true},
		{&Error{Command: "archive", Signal: syscall.SIGKILL}, false},
		{&Error{Command: "archive", Stderr: "fatal: Out of memory, malloc failed: unable to read 8d3f"}, false},
	} {
		if got := Suspicious(fmt.Errorf("can't: %w", c.err)); got != c.want {
			t.Errorf("%q: %v", c.err, got)
		}
	}
}
