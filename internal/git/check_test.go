package git

import (
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
