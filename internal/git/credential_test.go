package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCredentialLine(t *testing.T) {
	for command, want := range map[string]string{
		"/usr/lib/token --org acme":  "/usr/lib/token --org acme get",
		"!f() { cat /x; }; f":        "f() { cat /x; }; f get",
		"store --file=/etc/x":        "git credential-store --file=/etc/x get",
		"!/opt/a 'b c' # not a word": "/opt/a 'b c' # not a word get",
	} {
		if got := credentialLine(command, "get"); got != want {
			t.Errorf("%q becomes %q, want %q", command, got, want)
		}
	}
}

func TestCheckCredentialCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for command, good := range map[string]bool{
		"/bin/sh -c x": true, "!no such": true, "store": true, "/no/such$x": true,
		"/no/such program": false, file: false, "/bin": false,
	} {
		if err := CheckCredentialCommand(command); (err == nil) != good {
			t.Errorf("%q: %v", command, err)
		}
	}
}

func TestRunCredential(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/x")
	t.Setenv("SOULD_LISTEN", ":1")
	t.Setenv("GIT_DIR", "/x")
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
	for _, c := range []struct{ command, want, wrong string }{
		{"!cat; echo", "protocol=https\npassword=0ld-s3cret\nget\n", ""},
		{"!echo $NOTIFY_SOCKET$SOULD_LISTEN$GIT_DIR $CREDENTIALS_DIRECTORY $GIT_TERMINAL_PROMPT;:", "/run/credentials 0\n", ""},
		{"!true </dev/tty || echo no terminal;:", "no terminal\n", ""},
		{"!exit 3;", "", "exit status 3"},
		{"!kill -9 $$;", "", "signal: killed"},
		{"!echo n3w-s3cret >&2; exit 1;", "", "exit status 1"},
		{"!yes n3w-s3cret | head -c 1000000 >&2; echo x=y;:", "x=y\n", ""},
		{"no-such-helper", "", "exit status 1"},
		{"/no/such/helper", "", "exit status 127, as of a program that is not there"},
		{"/dev/null", "", "exit status 126, as of a program that may not be run"},
		{"!yes;", "", "it printed more than 64 KiB"},
	} {
		out, err := runCredential(t.Context(), nil, c.command, "get", []byte("protocol=https\npassword=0ld-s3cret\n"))
		switch {
		case c.wrong == "":
			if err != nil || string(out) != c.want {
				t.Errorf("%s: %q, %v", c.command, out, err)
			}
		case err == nil || err.Error() != c.wrong: // and nothing else
			t.Errorf("%s: %v, want %s", c.command, err, c.wrong)
		}
	}
}

// TestRunCredentialEnds: whatever a command has started ends with it, and at the end of its time.
func TestRunCredentialEnds(t *testing.T) {
	pipe, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	leash := &Leash{file: in}
	gone := func() { // every process that has the other end
		t.Helper()
		if err := pipe.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := pipe.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a process is left")
		}
	}
	out, err := runCredential(t.Context(), leash, "!sleep 1000 >/dev/null 2>&1 & echo x=y;:", "get", nil)
	if err != nil || string(out) != "x=y\n" {
		t.Errorf("%q, %v", out, err)
	}
	reason := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, reason)
	defer cancel()
	if _, err := runCredential(ctx, leash, "!sleep 1000 | cat;:", "get", nil); !errors.Is(err, reason) {
		t.Errorf("%v", err)
	}
	in.Close()
	gone()
}
