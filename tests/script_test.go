package tests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the stories in *.txtar.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: ".",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				env.Setenv("GIT_"+who+"_NAME", "T")
				env.Setenv("GIT_"+who+"_EMAIL", "t@example.org")
			}
			env.Setenv("PORT", freePort(t))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// exitcode runs a program that is to end with that status.
			"exitcode": func(ts *testscript.TestScript, _ bool, args []string) {
				var exit *exec.ExitError
				if err := ts.Exec(args[1], args[2:]...); !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
					ts.Fatalf("%v ended with %v, want status %s", args[1:], err, args[0])
				}
			},
			// up waits until somebody listens on the port.
			"up": func(ts *testscript.TestScript, _ bool, args []string) {
				port := ts.Getenv("PORT")
				if !within(patient, func() bool { return exec.Command("curl", "-s", "127.0.0.1:"+port).Run() == nil }) {
					ts.Fatalf("nobody listens on port %s", port)
				}
			},
		},
	})
}

// TestReadmesQuickStart does what the README says, word by word, but for the port.
func TestReadmesQuickStart(t *testing.T) {
	for _, program := range []string{"curl", "tar", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s on this machine", program)
		}
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, quick, _ := strings.Cut(string(readme), "## Quick start")
	quick, _, _ = strings.Cut(quick, "\n## ")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(quick, -1)
	if len(blocks) != 4 || blocks[0][1] != "go run .\n" || blocks[3][1] != "go test -timeout 20m ./...\n" {
		t.Fatalf("the quick start has changed: %q", blocks)
	}

	// A checkout of the project, as a new user has it; go run . is the daemon.
	work := filepath.Join(t.TempDir(), "sould")
	for _, args := range [][]string{{"init", "-q", work}, {"-C", work, "commit", "-q", "--allow-empty", "-m", "m"}} {
		cmd := exec.Command("git", args...)
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=T", "GIT_AUTHOR_EMAIL=t@e", "GIT_COMMITTER_NAME=T", "GIT_COMMITTER_EMAIL=t@e")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	d := prepare(t)
	d.flags = nil
	d.run()
	gitPort := freePort(t)
	script := blocks[1][1] + "until curl -s 127.0.0.1:9418; [ $? -ne 7 ]; do :; done\n" + blocks[2][1]
	script = strings.NewReplacer("127.0.0.1:8080", strings.TrimPrefix(d.url, "http://"), "--listen=127.0.0.1", "--listen=127.0.0.1 --port="+gitPort,
		"git://127.0.0.1/", "git://127.0.0.1:"+gitPort+"/", "127.0.0.1:9418", "127.0.0.1:"+gitPort).Replace(script)
	cmd := exec.Command("bash", "-e", "-m", "-c", script)
	cmd.Dir = work
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "my/dev/mirror  ") || !strings.Contains(string(out), "1 ref changed") {
		t.Errorf("%v\n%s\n%s", err, script, out)
	}
}
