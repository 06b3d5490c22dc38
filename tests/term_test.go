package tests

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTermLetsAnswersFinish(t *testing.T) {
	url, arrived, held := heldOrigin(t)
	d := start(t)
	answers := make(chan answer)
	go func() { answers <- d.post("m", url) }()
	<-arrived
	d.signal(syscall.SIGTERM)
	d.wait("stopping")
	eventually(t, "an end of accepting", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	held.release()
	(<-answers).expect(t, 200)
	<-d.exited
	d.stop()
}

func TestASecondTermEndsAtOnce(t *testing.T) {
	url, arrived, _ := heldOrigin(t)
	d := start(t)
	ended := make(chan error)
	go func() {
		_, err := d.try("POST", "/", form("m", url), "Content-Type", formType)
		ended <- err
	}()
	<-arrived
	began := time.Now()
	d.signal(syscall.SIGTERM)
	d.wait("stopping")
	d.signal(syscall.SIGTERM)
	<-d.exited
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	<-ended
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("status %d\n%s", code, d.log)
	}
	d.childless()
}

// TestASecondTermDoesNotWaitForAnybody: not for a git that ignores TERM, nor after
// the answers are through.
func TestASecondTermDoesNotWaitForAnybody(t *testing.T) {
	const most = 2 * time.Second // the grace of the first is 3
	var took time.Duration
	for range 3 { // a machine that is busy may be slow once
		if took = secondTerm(t); took <= most {
			return
		}
	}
	t.Errorf("it took %s", took)
}

// secondTerm sends two to a daemon whose git ignores TERM, and returns the time from the
// second one to its end.
func secondTerm(t *testing.T) time.Duration {
	t.Helper()
	bin, marker := t.TempDir(), filepath.Join(t.TempDir(), "hangs")
	script := "#!/bin/sh\ncase \"$*\" in *ls-remote*) trap '' TERM; touch " + marker + "; while :; do sleep 1; done;; esac\nPATH=${PATH#*:} exec git \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	d := prepare(t)
	d.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	d.run()
	d.post("m", "/x", "wait", "0").expect(t, 202)
	eventually(t, "a git that hangs", func() bool { _, err := os.Stat(marker); return err == nil })
	d.signal(syscall.SIGTERM)
	d.wait("stopping")
	began := time.Now()
	d.signal(syscall.SIGTERM)
	<-d.exited
	took := time.Since(began)
	d.childless()
	return took
}

// TestASecondTermLetsNothingBegin: who waits for a place to make an archive gets it when the
// git is killed that had it, and must not start another one.
func TestASecondTermLetsNothingBegin(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	d := prepare(t, "max_archives = 1")
	begun, _ := d.holdGit("archive")
	d.run()
	d.pulled("m", r.Dir)
	for i := range 5 {
		d.crowd(1, fmt.Sprintf("GET /m?prefix=%d HTTP/1.1\r\nHost: x\r\n\r\n", i))
	}
	d.waitRead()
	eventually(t, "an archive", func() bool { return begun() == 1 })
	d.signal(syscall.SIGTERM)
	d.wait("stopping")
	d.signal(syscall.SIGTERM)
	<-d.exited
	if n := begun(); n != 1 {
		t.Errorf("%d gits were started", n)
	}
	d.childless()
}
