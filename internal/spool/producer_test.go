package spool

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAFailureReachesEveryReader(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		for name, c := range map[string]struct {
			produce func(context.Context, io.Writer) error
			before  string
			is      error
		}{
			"an error":               {failing("some", broken), "some", broken},
			"an error at once":       {func(context.Context, io.Writer) error { return broken }, "", broken},
			"a panic":                {func(context.Context, io.Writer) error { panic("ouch") }, "", nil},
			"a write error, ignored": {ignoring, "", nil},
		} {
			cache := open(t, filepath.Join(dir, name), 1<<20)
			if name == "a write error, ignored" {
				cache.create = func(path string) (*os.File, error) { // cannot be written to
					f, err := createTemp(path)
					if err != nil {
						return nil, err
					}
					defer f.Close()
					return os.Open(f.Name())
				}
			}
			var readers sync.WaitGroup
			for range 5 {
				r := get(t, cache, "key", c.produce)
				readers.Go(func() {
					defer r.Close()
					got, err := all(t.Context(), r)
					if got != c.before || err == nil || c.is != nil && !errors.Is(err, c.is) {
						t.Errorf("%s: got %q, %v", name, got, err)
					}
					if r.Finished() || r.Wait(t.Context()) == nil {
						t.Errorf("%s: it looks finished", name)
					}
				})
			}
			readers.Wait()
			cache.producers.Wait()
			if n := files(t, filepath.Join(dir, name)); n != 0 || cache.used != 0 || len(cache.entries) != 0 {
				t.Errorf("%s: %d files, %d bytes, %d entries are left", name, n, cache.used, len(cache.entries))
			}
			cache.create = createTemp
			if r := get(t, cache, "key", pieces("again")); r != nil {
				if got, err := all(t.Context(), r); got != "again" || err != nil {
					t.Errorf("%s: the next one gets %q, %v", name, got, err)
				}
				r.Close()
			}
			cache.producers.Wait()
		}
	})
}

// ignoring is a producer that ignores the errors of its writer.
func ignoring(_ context.Context, w io.Writer) error {
	_, _ = io.WriteString(w, "lost")
	return nil
}

func TestAProducerWithoutReadersIsStopped(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, dir, 1<<20)
		stopped := make(chan error, 1)
		slow := func(ctx context.Context, w io.Writer) error {
			_, _ = io.WriteString(w, "half")
			<-ctx.Done()
			time.Sleep(time.Minute) // it takes its time to notice
			_, _ = io.WriteString(w, " and more")
			stopped <- context.Cause(ctx)
			return nil // and does not even say so
		}
		a, b := get(t, c, "key", slow), get(t, c, "key", never(t))
		synctest.Wait()
		a.Close()
		a.Close() // twice is once
		synctest.Wait()
		if len(stopped) > 0 {
			t.Error("stopped although somebody reads")
		}
		b.Close()

		// Meanwhile another one is made under the same key, of its own.
		r := get(t, c, "key", pieces("whole"))
		if got, err := all(t.Context(), r); got != "whole" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if err := <-stopped; !errors.Is(err, errAbandoned) {
			t.Errorf("stopped because of %v", err)
		}
		c.producers.Wait()
		if got, err := all(t.Context(), get(t, c, "key", never(t))); got != "whole" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if n := files(t, dir); n != 1 || c.used != int64(len("whole")) {
			t.Errorf("%d files, %d bytes", n, c.used)
		}
	})
}

func TestCloseStopsProducers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, dir, 1<<20)
		r := get(t, c, "key", pieces("a", "b"))
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := all(t.Context(), r); got != "a" || !errors.Is(err, ErrClosed) {
			t.Errorf("got %q, %v", got, err)
		}
		r.Close()
		if _, err := c.Get("other", never(t)); !errors.Is(err, ErrClosed) {
			t.Errorf("Get after Close: %v", err)
		}
		if n := files(t, dir); n != 0 {
			t.Errorf("%d files are left", n)
		}
	})
}
