package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func open(t *testing.T, dir string, limit int64) *Cache {
	t.Helper()
	c, err := Open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pieces produces strings, with a second between them.
func pieces(all ...string) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		for _, p := range all {
			if _, err := io.WriteString(w, p); err != nil {
				return err
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	}
}

func failing(after string, err error) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		if err := pieces(after)(ctx, w); err != nil {
			return err
		}
		return err
	}
}

func never(t *testing.T) func(context.Context, io.Writer) error {
	return func(context.Context, io.Writer) error {
		t.Error("it is produced again")
		return errors.New("again")
	}
}

// all reads a file to its end.
func all(ctx context.Context, r *Reader) (string, error) {
	var b bytes.Buffer
	for {
		_, err := r.CopyNext(ctx, &b, 1<<20)
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
	}
}

func get(t *testing.T, c *Cache, key string, produce func(context.Context, io.Writer) error) *Reader {
	t.Helper()
	r, err := c.Get(key, produce)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fill makes a finished file of a size.
func fill(t *testing.T, c *Cache, key string, size int) {
	t.Helper()
	r := get(t, c, key, func(_ context.Context, w io.Writer) error {
		_, err := w.Write(make([]byte, size))
		return err
	})
	if err := r.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Close()
	c.producers.Wait()
}

// has lists which of the keys are in the cache.
func has(c *Cache, keys ...string) string {
	var found []string
	for _, key := range keys {
		c.mu.Lock()
		_, ok := c.entries[fileName(key)]
		c.mu.Unlock()
		if ok {
			found = append(found, key)
		}
	}
	return strings.Join(found, " ")
}

func files(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestReadersFollowOneProducer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, dir, 1<<20)
		var runs atomic.Int32
		produce := func(ctx context.Context, w io.Writer) error {
			runs.Add(1)
			return pieces("one ", "two ", "three")(ctx, w)
		}
		began := time.Now()
		var readers sync.WaitGroup
		for i := range 20 {
			readers.Go(func() {
				time.Sleep(time.Duration(i) * 300 * time.Millisecond) // the last ones come when the producer has ended
				r, err := c.Get("key", produce)
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				if n, err := r.Next(t.Context()); n < 4 || err != nil || i == 0 && time.Since(began) > 0 {
					t.Errorf("reader %d waits for its first bytes until %s: %d, %v", i, time.Since(began), n, err)
				}
				if got, err := all(t.Context(), r); got != "one two three" || err != nil {
					t.Errorf("reader %d got %q, %v", i, got, err)
				}
				if finished := time.Since(began) >= 3*time.Second; r.Finished() != finished {
					t.Errorf("finished after %s: %v", time.Since(began), r.Finished())
				}
			})
		}
		readers.Wait()
		c.producers.Wait()
		if runs.Load() != 1 {
			t.Errorf("%d producers ran", runs.Load())
		}
		if r := c.Find("key"); r == nil {
			t.Error("the file is not kept")
		} else {
			f, err := r.Open()
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(f); string(text) != "one two three" || err != nil {
				t.Errorf("the file holds %q, %v", text, err)
			}
			r.Close()
		}
		if c.Find("other") != nil {
			t.Error("something is found that was never made")
		}
	})
}

func TestAStalledReaderHoldsNobody(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, dir, 1<<20)
		stalled := get(t, c, "key", pieces("a", "b"))
		r := get(t, c, "key", never(t))
		if got, err := all(t.Context(), r); got != "ab" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		r.Close()
		c.producers.Wait()
		if got, err := all(t.Context(), stalled); got != "ab" || err != nil {
			t.Errorf("later the stalled reader gets %q, %v", got, err)
		}
		stalled.Close()
	})
}

func TestReadersLeaveWhenTheirContextEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, dir, 1<<20)
		r := get(t, c, "key", pieces("a", "b", "c"))
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if got, err := all(ctx, r); got != "a" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %q, %v", got, err)
		}
		if err := r.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
		if err := r.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		r.Close()
		c.producers.Wait()
	})
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, 1000)
	for i, key := range []string{"old", "older", "new"} {
		fill(t, c, key, 100)
		when := time.Now().Add([]time.Duration{-2 * time.Hour, -3 * time.Hour, 0}[i])
		if err := os.Chtimes(filepath.Join(dir, fileName(key)), when, when); err != nil {
			t.Fatal(err)
		}
	}
	half := get(t, c, "half", func(ctx context.Context, w io.Writer) error {
		_, _ = w.Write(make([]byte, 100))
		<-ctx.Done()
		return nil
	})
	if _, err := half.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o755); err != nil {
		t.Fatal(err)
	}

	// The process is killed: another one finds what is there.
	again := open(t, dir, 200)
	if got := has(again, "old", "older", "new", "half"); got != "old new" || again.used != 200 || files(t, dir) != 2 {
		t.Errorf("found %q, %d bytes, %d files", got, again.used, files(t, dir))
	}
	r := get(t, again, "old", never(t))
	if got, err := all(t.Context(), r); len(got) != 100 || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	r.Close()
	// The order of use survives the next restart.
	last := open(t, dir, 100)
	if got := has(last, "old", "new"); got != "old" {
		t.Errorf("found %q", got)
	}
	half.Close()
	c.producers.Wait()
}

func TestAFileThatSomebodyRemoved(t *testing.T) {
	c := open(t, t.TempDir(), 1000)
	fill(t, c, "key", 100)
	if err := os.Remove(filepath.Join(c.dir, fileName("key"))); err != nil {
		t.Fatal(err)
	}
	r := c.Find("key")
	if _, err := r.Open(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	r.Close()
	if c.Find("key") != nil || c.used != 0 {
		t.Errorf("it is still known; %d bytes", c.used)
	}
	fill(t, c, "key", 100)
}

// TestAFileThatSomebodyChanged in its size is removed, open or not, and made again.
func TestAFileThatSomebodyChanged(t *testing.T) {
	for what, size := range map[string]int64{"cut": 50, "emptied": 0, "longer": 200} {
		for _, opened := range []bool{false, true} {
			c := open(t, t.TempDir(), 1000)
			fill(t, c, "key", 100)
			if opened {
				r := c.Find("key")
				if _, err := r.Open(); err != nil {
					t.Fatal(err)
				}
				r.Close() // which keeps it open
			}
			if err := os.Truncate(c.Path("key"), size); err != nil {
				t.Fatal(err)
			}
			r := c.Find("key")
			if _, err := r.Open(); !errors.Is(err, ErrChanged) || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, opened %v: %v", what, opened, err)
			}
			r.Close()
			if c.Find("key") != nil || c.used != 0 || files(t, c.dir) != 0 {
				t.Errorf("%s, opened %v: it is still there; %d bytes", what, opened, c.used)
			}
			fill(t, c, "key", 100)
		}
	}
}

// TestEverythingAtOnce has readers, failures, evictions and readers that leave early, and checks
// that each reader gets the right bytes or the error.
func TestEverythingAtOnce(t *testing.T) {
	c := open(t, t.TempDir(), 300_000)
	content := func(key int) []byte { return bytes.Repeat([]byte{byte(key)}, 1000*(key%40+1)) }
	broken := errors.New("broken")
	var readers sync.WaitGroup
	for g := range 16 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 1))
			for range 150 {
				key, fails := random.IntN(60), random.IntN(8) == 0
				r, err := c.Get(fmt.Sprint(key), func(ctx context.Context, w io.Writer) error {
					for rest := content(key); len(rest) > 0; {
						n := min(len(rest), 700)
						if _, err := w.Write(rest[:n]); err != nil {
							return err
						}
						if rest = rest[n:]; ctx.Err() != nil {
							return context.Cause(ctx)
						}
					}
					if fails {
						return broken
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				if random.IntN(5) == 0 { // leaves early
					_, _ = r.CopyNext(t.Context(), io.Discard, 100)
					r.Close()
					continue
				}
				if random.IntN(3) == 0 && r.Wait(t.Context()) == nil {
					f, err := r.Open()
					if err != nil {
						t.Error(err)
					} else {
						_, err := f.Seek(0, io.SeekStart)
						if got, readErr := io.ReadAll(f); !bytes.Equal(got, content(key)) || err != nil || readErr != nil {
							t.Errorf("the file of %d holds %d bytes, %v, %v", key, len(got), err, readErr)
						}
					}
				}
				got, err := all(t.Context(), r)
				if err == nil && got != string(content(key)) || err != nil && !errors.Is(err, broken) {
					t.Errorf("key %d: %d bytes, %v", key, len(got), err)
				}
				r.Close()
			}
		})
	}
	readers.Wait()
	c.producers.Wait()
	var sum int64
	for name, e := range c.entries {
		info, err := os.Stat(filepath.Join(c.dir, name))
		if err != nil || info.Size() != e.size || e.readers != 0 || e.idle == nil {
			t.Errorf("%s: %v, %+v", name, err, e)
			continue
		}
		sum += e.size
	}
	if sum != c.used || sum > 300_000 || files(t, c.dir) != len(c.entries) {
		t.Errorf("%d bytes in %d files, %d in use by the books", sum, files(t, c.dir), c.used)
	}
}

// TestADirectoryThatSomebodyRemoved is made again, but not what it is in.
func TestADirectoryThatSomebodyRemoved(t *testing.T) {
	storage := filepath.Join(t.TempDir(), "storage")
	dir := filepath.Join(storage, "cache")
	c := open(t, dir, 1<<20)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	fill(t, c, "key", 10)
	if n := files(t, dir); n != 1 {
		t.Errorf("%d files are there", n)
	}
	if err := os.RemoveAll(storage); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get("another", never(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the storage: %v", err)
	}
	if _, err := os.Stat(storage); err == nil {
		t.Error("the storage is there again")
	}
}

func ExampleCache() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	cache, err := Open(dir, 1<<30)
	if err != nil {
		panic(err)
	}
	defer cache.Close()
	r, err := cache.Get("greeting", func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "hello\n")
		return err
	})
	if err != nil {
		panic(err)
	}
	defer r.Close()
	for err == nil {
		_, err = r.CopyNext(context.Background(), os.Stdout, 1<<20)
	}
	// Output: hello
}

// TestFilesInUseAreBounded: when the files in use exceed the limit by too much, no new producer may
// write. Producers that have begun go on, and existing files get more readers.
func TestFilesInUseAreBounded(t *testing.T) {
	c := open(t, t.TempDir(), 5)
	c.spare = 5
	write := func(size int) func(context.Context, io.Writer) error {
		return func(_ context.Context, w io.Writer) error {
			for range size {
				if _, err := w.Write([]byte("x")); err != nil {
					return err
				}
			}
			return nil
		}
	}
	get := func(key string, size int, want error) *Reader {
		t.Helper()
		r, err := c.Get(key, write(size))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		if err := r.Wait(t.Context()); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", key, err, want)
		}
		return r
	}
	get("small", 8, nil)
	large := get("large", 100, nil)
	get("more", 1, ErrNoSpace)
	get("small", 8, nil)
	c.producers.Wait()
	large.Close()
	get("more", 1, nil)
	c.producers.Wait()
}
