package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// numbered returns content in which no two windows are equal.
func numbered(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// writes produces content in pieces of 10,000 bytes, as fast as it can, and sends its error to done.
func writes(content []byte, done chan<- error) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error {
		for rest := content; len(rest) > 0; {
			n, err := w.Write(rest[:min(len(rest), 10_000)])
			rest = rest[n:]
			if err != nil {
				done <- err
				return err
			}
		}
		done <- nil
		return nil
	}
}

// nobody says that nobody waits in the queue of a lane.
func nobody() time.Duration { return 0 }

func lane(t *testing.T, l *Lane, key string, content []byte) (*Reader, chan error) {
	t.Helper()
	done := make(chan error, 1)
	r, err := l.Get(key, writes(content, done))
	if err != nil {
		t.Fatal(err)
	}
	return r, done
}

// checkEmpty checks that nothing is left of files that are not kept.
func (c *Cache) checkEmpty(t *testing.T, lanes ...*Lane) {
	t.Helper()
	c.producers.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range lanes {
		if len(l.windowed) != 0 {
			t.Errorf("%d are in a window", len(l.windowed))
		}
	}
	if c.used != 0 || len(c.entries) != 0 || len(c.running) != 0 || c.idle.Len() != 0 || files(t, c.dir) != 0 {
		t.Errorf("%d bytes are used by %d entries, %d producers run, %d are idle, %d files", c.used, len(c.entries), len(c.running), c.idle.Len(), files(t, c.dir))
	}
}

// sizes are those of files that go their different ways.
var sizes = []int{0, 1, window - 1, window, window + 1, 10 * window}

// TestWhatIsAskedForOnce is made without a reader that reads, has no name that the next start
// would find, and goes with its reader.
func TestWhatIsAskedForOnce(t *testing.T) {
	for _, size := range sizes {
		c := open(t, t.TempDir(), 1<<30)
		l := c.NewLane(nobody)
		content := numbered(size)
		r, done := lane(t, l, "key", content)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		stored := c.used
		c.mu.Unlock()
		if inMemory := size <= window; inMemory != (stored == 0) || !inMemory && stored != int64(size) {
			t.Errorf("%d bytes: %d bytes are on the disk", size, stored)
		}
		if got, err := all(t.Context(), r); got != string(content) || err != nil {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
		r.Close()
		c.checkEmpty(t, l)
	}
}

// TestWhatIsAskedForAgain is kept: no third reader has it made, nor one after a restart.
func TestWhatIsAskedForAgain(t *testing.T) {
	ways := map[string]func(t *testing.T, l *Lane, content []byte) []*Reader{
		"while it is made": func(t *testing.T, l *Lane, content []byte) []*Reader {
			let := make(chan struct{})
			first, err := l.Get("key", func(_ context.Context, w io.Writer) error {
				if _, err := w.Write(content[:len(content)/2]); err != nil {
					return err
				}
				<-let
				_, err := w.Write(content[len(content)/2:])
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			second, err := l.Get("key", never(t))
			if err != nil {
				t.Fatal(err)
			}
			close(let)
			return []*Reader{first, second}
		},
		"while it is read": func(t *testing.T, l *Lane, content []byte) []*Reader {
			first, done := lane(t, l, "key", content)
			<-done
			ended(l.cache, first)
			second, err := l.Get("key", never(t))
			if err != nil {
				t.Fatal(err)
			}
			return []*Reader{first, second}
		},
		"when it has gone": func(t *testing.T, l *Lane, content []byte) []*Reader {
			first, done := lane(t, l, "key", content)
			<-done
			ended(l.cache, first)
			first.Close()
			l.cache.checkEmpty(t, l)
			second, _ := lane(t, l, "key", content)
			return []*Reader{second}
		},
	}
	for way, ask := range ways {
		for _, size := range sizes {
			dir, content := t.TempDir(), numbered(size)
			c := open(t, dir, 1<<30)
			l := c.NewLane(nobody)
			for _, r := range ask(t, l, content) {
				if got, err := all(t.Context(), r); got != string(content) || err != nil {
					t.Errorf("%s, %d bytes: got %d, %v", way, size, len(got), err)
				}
				ended(c, r)
				if !r.IsFile() {
					t.Errorf("%s, %d bytes: it is not kept", way, size)
				}
				r.Close()
			}
			for _, c := range []*Cache{c, open(t, dir, 1<<30)} {
				r, err := c.NewLane(nobody).Get("key", never(t))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := all(t.Context(), r); got != string(content) || err != nil || !r.IsFile() || c.used != int64(size) {
					t.Errorf("%s, %d bytes, later: got %d, %v, %d are used", way, size, len(got), err, c.used)
				}
				r.Close()
			}
		}
	}
}

// ended waits until nothing more is done for what a reader reads.
func ended(c *Cache, r *Reader) {
	for over := false; !over; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		over = r.entry.ended
		c.mu.Unlock()
	}
}

// TestManyThatAreAskedForOnce wash nothing out of the cache, and little of them is remembered.
func TestManyThatAreAskedForOnce(t *testing.T) {
	c := open(t, t.TempDir(), 4*window)
	fill(t, c, "kept", 3*window)
	l := c.NewLane(nobody)
	for i := range maxRecent + 100 {
		r, _ := lane(t, l, fmt.Sprint(i), numbered(10))
		r.Close()
	}
	if n := len(l.asked.by); n != maxRecent || l.asked.order.Len() != n {
		t.Errorf("%d are remembered", n)
	}
	if c.Find("kept") == nil {
		t.Error("what was kept has gone")
	}
	if l.asked.add("another") || !l.asked.add("another") || l.asked.add(fileName("0")) {
		t.Error("the wrong ones are remembered")
	}
}

// TestPurge removes what an owner has, in whatever state it is; who reads it has all of it.
func TestPurge(t *testing.T) {
	c := open(t, t.TempDir(), 1<<30)
	l := c.NewLane(nobody)
	content := numbered(3 * window)
	fill(t, c, "a\x00idle", 10)
	fill(t, c, "b\x00idle", 10)
	read := get(t, c, "a\x00read", writes(content, make(chan error, 1)))
	ended(c, read)
	once, _ := lane(t, l, "a\x00once", content)
	ended(c, once)
	first, _ := lane(t, l, "a\x00again", content)
	second, err := l.Get("a\x00again", never(t))
	if err != nil {
		t.Fatal(err)
	}
	ended(c, first)
	let := make(chan struct{})
	grows := func(_ context.Context, w io.Writer) error {
		_, err := w.Write(content[:10])
		<-let
		if err == nil {
			_, err = w.Write(content[10:])
		}
		return err
	}
	growing := get(t, c, "a\x00growing", grows)
	both, err := l.Get("a\x00both", grows)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.Get("a\x00both", never(t))
	if err != nil {
		t.Fatal(err)
	}
	c.Purge("a")
	c.Purge("")
	for _, key := range []string{"idle", "read", "again", "growing", "both"} {
		if c.Find("a\x00"+key) != nil {
			t.Errorf("%s is still there", key)
		}
	}
	close(let)
	for i, r := range []*Reader{read, once, first, second, growing, both, again} {
		if r == read { // its file has gone, and the next one has it made
			if _, err := all(t.Context(), r); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		} else if got, err := all(t.Context(), r); got != string(content) || err != nil {
			t.Errorf("%d: got %d bytes, %v", i, len(got), err)
		}
		ended(c, r)
		r.Close()
	}
	c.producers.Wait()
	if n := files(t, c.dir); n != 1 || c.used != 10 || c.Find("b\x00idle") == nil {
		t.Errorf("%d files are left, with %d bytes", n, c.used)
	}
}

// TestTransientFailure: the reader gets the bytes before the failure, and then the error.
func TestTransientFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, t.TempDir(), 1<<30)
		l := c.NewLane(nobody)
		broken := errors.New("broken")
		r, err := l.Get("key", failing("some ", broken))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := all(t.Context(), r); got != "some " || err != broken {
			t.Errorf("got %q, %v", got, err)
		}
		r.Close()
		c.checkEmpty(t, l)
	})
}

// fullDisk creates no file.
func fullDisk(string) (*os.File, error) { return nil, syscall.ENOSPC }

// TestWithoutRoom: a producer without room goes on at the speed of its readers. They get all of the
// content, and no more than a window of it is in memory.
func TestWithoutRoom(t *testing.T) {
	content := numbered(20*window + 123)
	for what, prepare := range map[string]func(c *Cache){
		"no file can be made":          func(c *Cache) { c.create = fullDisk },
		"the disk is known to be full": func(c *Cache) { c.fullUntil = time.Now().Add(time.Hour) },
		"too much is in use":           func(c *Cache) { c.limit, c.spare = 3*window, 0 },
		"nothing is allowed":           func(c *Cache) { c.limit, c.spare = 0, -1 },
		"the file can't be written": func(c *Cache) {
			c.create = func(path string) (*os.File, error) {
				if err := os.Symlink("/dev/full", path+unfinished); err != nil {
					return nil, err
				}
				return os.OpenFile(path+unfinished, os.O_RDWR, 0)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			c := open(t, t.TempDir(), 1<<30)
			prepare(c)
			l := c.NewLane(nobody)
			r, done := lane(t, l, "key", content)
			select {
			case err := <-done:
				t.Fatalf("it is made without its reader: %v", err)
			case <-time.After(20 * time.Millisecond):
			}
			c.mu.Lock()
			ahead := c.used + int64(len(r.entry.transient.memory))
			c.mu.Unlock()
			if ahead > 5*window {
				t.Errorf("%d bytes are made ahead of the reader", ahead)
			}
			if got, err := all(t.Context(), r); got != string(content) || err != nil {
				t.Errorf("got %d bytes of %d, %v", len(got), len(content), err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			r.Close()
			c.checkEmpty(t, l)
		})
	}
}

// TestWindowEnds: a producer in a window ends when its reader leaves, and when the cache is closed.
func TestWindowEnds(t *testing.T) {
	c := open(t, t.TempDir(), 1<<30)
	c.create = fullDisk
	l := c.NewLane(nobody)
	first, done := lane(t, l, "key", numbered(10*window))
	if _, err := first.CopyNext(t.Context(), io.Discard, 1); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if err := <-done; err != errAbandoned {
		t.Errorf("it ends with %v", err)
	}
	c.checkEmpty(t, l)
	r, done := lane(t, l, "key", numbered(10*window))
	for held := false; !held; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		held = len(l.windowed) == 1
		c.mu.Unlock()
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != ErrClosed {
		t.Errorf("it ends with %v", err)
	}
	if got, err := all(t.Context(), r); len(got) > window || err != ErrClosed {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if _, err := l.Get("next", never(t)); err != ErrClosed {
		t.Errorf("the next: %v", err)
	}
	r.Close()
}

// TestTheSlowestIsGivenUp: while somebody waits, first the slowest reader is given up, and then the
// next one, but never a fast one. While nobody waits, none is.
func TestTheSlowestIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, dir, 1<<30)
		c.create = fullDisk
		var waiting time.Time // when somebody began to wait
		l := c.NewLane(func() time.Duration {
			if waiting.IsZero() || time.Now().Before(waiting) {
				return 0
			}
			return time.Since(waiting)
		})
		began := time.Now()
		waiting = began.Add(20 * time.Second)
		over := make(map[string]time.Duration)
		errs := make(map[string]error)
		var mu sync.Mutex
		var readers sync.WaitGroup
		content := numbered(64 << 20)
		read := func(name string, speed int) {
			r, done := lane(t, l, name, content)
			readers.Go(func() {
				defer r.Close()
				for {
					n, err := r.CopyNext(t.Context(), io.Discard, 16<<10)
					if err != nil {
						mu.Lock()
						errs[name] = err
						mu.Unlock()
						return
					}
					time.Sleep(time.Duration(n) * time.Second / time.Duration(speed))
				}
			})
			readers.Go(func() {
				<-done
				mu.Lock()
				over[name] = time.Since(began)
				mu.Unlock()
			})
		}
		read("slow", 32<<10)
		read("slowest", 16<<10)
		read("fast", 2<<20)
		readers.Wait()
		if errs["slow"] != ErrTooSlow || errs["slowest"] != ErrTooSlow || errs["fast"] != io.EOF {
			t.Errorf("they ended with %v", errs)
		}
		soon := 20*time.Second + patience
		if a, b := over["slowest"], over["slow"]; a < soon || a > soon+2*lookEvery || b < a+lookEvery || b > a+3*lookEvery || over["fast"] < 30*time.Second {
			t.Errorf("they ended after %v, somebody has waited since 20s", over)
		}
		c.checkEmpty(t, l)
	})
}

// TestTransientFilesAtOnce has many readers of two lanes come and go, with and without room.
func TestTransientFilesAtOnce(t *testing.T) {
	c := open(t, t.TempDir(), 8*window)
	c.spare = 0
	lanes := []*Lane{c.NewLane(nobody), c.NewLane(nobody)}
	content := numbered(5 * window)
	var readers sync.WaitGroup
	for i := range 16 {
		readers.Go(func() {
			for n := range 10 {
				r, err := lanes[i%2].Get(string(rune('a'+i%11)), writes(content, make(chan error, 1)))
				if err != nil {
					t.Error(err)
					return
				}
				if n%5 == i%5 {
					_, _ = r.CopyNext(t.Context(), io.Discard, window)
				} else if got, err := all(t.Context(), r); !bytes.Equal([]byte(got), content) || err != nil {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
				r.Close()
			}
		})
	}
	readers.Wait()
	for i := range 11 {
		c.Purge(string(rune('a' + i)))
	}
	c.checkEmpty(t, lanes...)
}
