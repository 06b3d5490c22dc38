package tests

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// TestAnAbandonedArchiveIsMadeAgain: who goes away while an archive is made does not
// keep those who come later from having it.
func TestAnAbandonedArchiveIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := newOrigin(t)
	dir := t.TempDir()
	begun, held := filepath.Join(dir, "begun"), filepath.Join(dir, "held")
	script := "#!/bin/sh\ncase \"$*\" in *\" archive \"*) touch " + begun + "; while [ -e " + held + " ]; do sleep 0.05; done;; esac\n" +
		"PATH=${PATH#*:} exec git \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(held, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d := prepare(t, `retry = "1h"`)
	d.env = append(d.env, "PATH="+dir+":"+os.Getenv("PATH"))
	d.run()
	d.pulled("m", r.Dir)

	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, "GET", d.url+"/m", nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() {
		_, err := client.Do(request)
		gone <- err
	}()
	eventually(t, "the archive is begun", func() bool { _, err := os.Stat(begun); return err == nil })
	leave()
	if err := <-gone; err == nil {
		t.Error("the first client got an answer")
	}
	if err := os.Remove(held); err != nil {
		t.Fatal(err)
	}
	if a := d.get("/m").expect(t, 200); len(a.files(t)) != 1 {
		t.Errorf("got %d bytes", len(a.body))
	}
	d.get("/m").expect(t, 200)
}
