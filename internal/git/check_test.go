package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
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
		if c.want == unknown && c.failed.Signal == 0 && SuggestsDamage(&c.failed) {
			t.Errorf("%+v is suspicious", c.failed)
		}
	}
}

func TestSuggestsDamage(t *testing.T) {
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
		{&Error{Command: "upload-pack", Stderr: theirs}, true}, // here the local repository is the remote
		{&Error{Command: "upload-pack", Stderr: "error: pack-objects died of signal 9\n" + theirs}, false},
		{&Error{Command: "archive", Stderr: "fatal: not a tree object: 8d3f"}, true},
		{&Error{Command: "archive", Signal: syscall.SIGBUS}, true},
		{&Error{Command: "archive", Signal: syscall.SIGKILL}, false},
		{&Error{Command: "archive", Stderr: "fatal: Out of memory, malloc failed: unable to read 8d3f"}, false},
	} {
		if got := SuggestsDamage(fmt.Errorf("can't: %w", c.err)); got != c.want {
			t.Errorf("%q: %v", c.err, got)
		}
	}
}

func TestDamages(t *testing.T) {
	const id = "8d3f5c2a0d1e4b6f8091a2b3c4d5e6f708192a3b"
	for line, damage := range map[string]bool{
		"missing blob " + id:             true,
		"broken link from    tree " + id: true,
		"error: " + id + ": object corrupt or missing: ./objects/8d/3f5c":      true,
		"error: refs/heads/main: invalid sha1 pointer " + id:                   true,
		"error: refs/heads/main: not a commit":                                 false,
		"error: HEAD: invalid sha1 pointer " + strings.Repeat("0", 40):         true,
		"error: inflate: data stream error (incorrect data check)":             true,
		"error: packfile ./objects/pack/pack-1.pack SHA1 checksum mismatch":    true,
		"error: sha1 mismatch for ./objects/8d/3f5c":                           true,
		"fatal: loose object " + id + " is corrupt":                            true,
		"bad config line 1 in file ./config":                                   true,
		"error in commit " + id + ": badDate: invalid author/committer line":   false,
		"warning in tree " + id + ": zeroPaddedFilemode: contains zero-padded": false,
		"notice: HEAD points to an unborn branch (main)":                       false,
		"notice: No default references":                                        false,
		"warning: garbage found: ./objects/pack/x.tmp":                         false,
		"warning: refs/heads/a: refMissingNewline: misses LF at the end":       false,
		"error: refs/heads/.x: badRefName: invalid refname format":             false,
		"error: refs/heads/a-fifo: badRefFiletype: unexpected file type":       false,
		"error: packed-refs.header: badPackedRefHeader: '# x' does not start":  false,
		"error: packed-refs line 17: badPackedRefEntry: 'x' has no space":      false,
		"hint: Disable this message":                                           false,
		"":                                                                     false,
	} {
		want := []string(nil)
		if damage {
			want = []string{line}
		}
		if got := damages("\n" + line + "\n"); !slices.Equal(got, want) {
			t.Errorf("%q: %q", line, got)
		}
	}
	damage, err := judge(&Error{ExitCode: 2, Stderr: strings.Repeat("missing blob "+id+"\n", 20)})
	if err != nil || strings.Count(damage.Error(), "missing") != maxDamages {
		t.Errorf("%v, %v", damage, err)
	}
}

func TestFsckArgs(t *testing.T) {
	for version, want := range map[string]bool{"2.31.0": false, "2.39.5": false, "2.49.1": false, "2.50.0": true, "3.0.rc1": true} {
		if got := slices.Contains(fsckArgs(version), "--no-references"); got != want {
			t.Errorf("%s: %v", version, got)
		}
	}
}

// TestNoMemoryIsNoDamage: beside the lack of memory, git prints words that would mean damage.
func TestNoMemoryIsNoDamage(t *testing.T) {
	for said, want := range map[string]bool{
		"fatal: Out of memory, malloc failed (tried to allocate 536870880 bytes)\nfatal: fetch-pack: invalid index-pack output": true,
		"fatal: inflate: out of memory": true,
		"error: failed to read delta base\nfatal: unable to create thread: Cannot allocate memory":        true,
		"error: Out of memory, malloc failed (tried to allocate 1 bytes)\nerror: cannot unpack from pack": true,
		"error: inflate: data stream error (incorrect data check)":                                        false,
	} {
		err := error(&Error{Command: "fsck", ExitCode: 128, Stderr: said})
		if outOfMemory(err) != want || SuggestsDamage(err) == want {
			t.Errorf("%q: out of memory %v, suspicious %v", said, outOfMemory(err), SuggestsDamage(err))
		}
	}
}

// TestIsLocalFault: only faults of a disk of this machine count, not those that a remote
// reports.
func TestIsLocalFault(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&Error{Stderr: "error: file write error: No space left on device\nfatal: unable to write"}, true},
		{&Error{Stderr: "fatal: Unable to create '/s/m/shallow.lock': Read-only file system"}, true},
		{&Error{Stderr: "error: unable to create temporary file: Not a directory"}, true},
		{&Error{Stderr: "fatal: bad\nthe disk is full: 0 bytes are left"}, true},
		{fmt.Errorf("can't: %w", &os.PathError{Op: "mkdir", Path: "x", Err: syscall.EDQUOT}), true},
		{fmt.Errorf("can't: %w", &os.PathError{Op: "read", Path: "x", Err: syscall.EIO}), true},
		{&Error{Stderr: "remote: fatal: write error: No space left on device\nfatal: early EOF"}, false},
		{&Error{Stderr: "fatal: unable to access 'https://h/r.git/': Could not resolve host: h"}, false},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, false},
	} {
		if got := IsLocalFault(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
