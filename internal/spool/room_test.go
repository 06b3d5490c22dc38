package spool

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestTheLimitIsKept(t *testing.T) {
	c := open(t, t.TempDir(), 100)
	fill(t, c, "a", 40)
	fill(t, c, "b", 40)
	if r := c.Find("a"); r == nil {
		t.Fatal("a is gone")
	} else {
		r.Close() // used more recently than b
	}
	fill(t, c, "c", 40)
	if got := has(c, "a", "b", "c"); got != "a c" || c.used != 80 {
		t.Errorf("%q are left, %d bytes", got, c.used)
	}

	// What is read stays, even if that is too much.
	a := c.Find("a")
	fill(t, c, "d", 90)
	if got := has(c, "a", "b", "c", "d"); got != "a" || c.used != 40 {
		t.Errorf("%q are left, %d bytes", got, c.used)
	}
	big := get(t, c, "big", func(_ context.Context, w io.Writer) error { _, err := w.Write(make([]byte, 1000)); return err })
	if got, err := all(t.Context(), big); len(got) != 1000 || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	c.producers.Wait()
	if got := has(c, "a", "big"); got != "a big" || c.used != 1040 {
		t.Errorf("%q are left, %d bytes", got, c.used)
	}
	big.Close()
	if got := has(c, "a", "big"); got != "a" || c.used != 40 {
		t.Errorf("%q are left, %d bytes", got, c.used)
	}
	a.Close()
	c.Resize(10)
	if got := has(c, "a"); got != "" || files(t, c.dir) != 0 {
		t.Errorf("%q are left, %d files", got, files(t, c.dir))
	}
}

func TestAFullDisk(t *testing.T) {
	c := open(t, t.TempDir(), 1<<20)
	fill(t, c, "idle", 100)
	fill(t, c, "read", 100)
	read := c.Find("read")
	defer read.Close()
	c.create = func(path string) (*os.File, error) {
		if err := os.Symlink("/dev/full", path+unfinished); err != nil { // the link is removed, not the device
			return nil, err
		}
		return os.OpenFile(path+unfinished, os.O_RDWR, 0)
	}
	r := get(t, c, "key", pieces("something"))
	if got, err := all(t.Context(), r); got != "" || !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %q, %v", got, err)
	}
	r.Close()
	c.producers.Wait()
	// Idle files were given up, what is read was not.
	if got := has(c, "idle", "read", "key"); got != "read" {
		t.Errorf("%q are left", got)
	}
	if _, err := c.Get("next", never(t)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("the next one: %v", err)
	}
	if r := get(t, c, "read", never(t)); r != nil {
		r.Close()
	}
	c.create = createTemp
	c.mu.Lock()
	c.fullUntil = time.Time{}
	c.mu.Unlock()
	fill(t, c, "next", 100)
}

// TestADiskThatCanOnlyBeRead is as good as full, but what is there can be read.
func TestADiskThatCanOnlyBeRead(t *testing.T) {
	c := open(t, t.TempDir(), 1<<20)
	fill(t, c, "idle", 100)
	c.create = func(path string) (*os.File, error) {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EROFS}
	}
	for range 2 {
		if _, err := c.Get("key", never(t)); !errors.Is(err, ErrNoSpace) {
			t.Errorf("got %v", err)
		}
	}
	if got := has(c, "idle", "key"); got != "idle" {
		t.Errorf("%q are left", got)
	}
}

func TestStats(t *testing.T) {
	c := open(t, t.TempDir(), 100)
	fill(t, c, "a", 40)
	fill(t, c, "b", 40)
	if s := c.Stats(); s != (Stats{Limit: 100, Used: 80, Files: 2}) {
		t.Errorf("%+v", s)
	}
	fill(t, c, "c", 40)
	if s := c.Stats(); s != (Stats{Limit: 100, Used: 80, Files: 2, Evicted: 1}) {
		t.Errorf("after one too many: %+v", s)
	}
	c.Purge("b")
	if s := c.Stats(); s.Files != 1 || s.Evicted != 1 {
		t.Errorf("what is purged counts as evicted: %+v", s)
	}
}

// TestIsFirst tells for whom a file was made, of every kind of file.
func TestIsFirst(t *testing.T) {
	c := open(t, t.TempDir(), 100)
	lane := c.NewLane(func() time.Duration { return 0 })
	produce := func(_ context.Context, w io.Writer) error { _, err := w.Write([]byte("x")); return err }
	for what, ask := range map[string]func() (*Reader, error){
		"of the cache": func() (*Reader, error) { return c.Get("a", produce) },
		"of a lane":    func() (*Reader, error) { return lane.Get("b", produce) },
	} {
		for i, want := range []bool{true, false, false} {
			r, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close() // the next one finds it, kept or not
			if r.IsFirst() != want {
				t.Errorf("a file %s, reader %d: first is %v", what, i, !want)
			}
		}
	}
	c.producers.Wait()
	if n := lane.Kept(); n != 1 {
		t.Errorf("%d files of the lane were kept", n)
	}
}
