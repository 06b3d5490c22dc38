package coalesce

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ask calls Do in a goroutine and sends its result to the channel.
type answer struct {
	result int
	err    error
}

func ask(g *Group[string, string, int], lane, variant string, work func() (int, error)) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		r, err := g.Do(context.Background(), lane, variant, work)
		c <- answer{r, err}
	}()
	return c
}

func TestCallersDuringARunShareTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string, int]
		var runs atomic.Int32
		work := func() (int, error) {
			n := runs.Add(1)
			time.Sleep(time.Second)
			return int(n), nil
		}

		first := ask(&g, "a", "", work)
		synctest.Wait()
		var later []<-chan answer
		for range 100 {
			later = append(later, ask(&g, "a", "", work))
		}
		synctest.Wait()
		if n := runs.Load(); n != 1 {
			t.Fatalf("%d runs began, want 1 at a time", n)
		}

		if a := <-first; a.result != 1 {
			t.Errorf("the first caller got run %d", a.result)
		}
		for _, c := range later {
			if a := <-c; a.result != 2 {
				t.Errorf("a caller that came during run 1 got run %d, want 2", a.result)
			}
		}
		g.Wait()
		if n := runs.Load(); n != 2 {
			t.Errorf("%d runs, want 2", n)
		}
	})
}

func TestEveryResultBeganAfterItWasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int, int, time.Time]
		var callers sync.WaitGroup
		for i := range 300 {
			callers.Go(func() {
				time.Sleep(time.Duration(i%17) * 100 * time.Millisecond)
				asked := time.Now()
				began, err := g.Do(t.Context(), i%3, i%2, func() (time.Time, error) {
					began := time.Now()
					time.Sleep(time.Duration(i%5+1) * 70 * time.Millisecond)
					return began, nil
				})
				if err != nil {
					t.Error(err)
				}
				if began.Before(asked) {
					t.Errorf("asked at %v, answered by a run of %v", asked, began)
				}
			})
		}
		callers.Wait()
		g.Wait()
		if len(g.lanes) != 0 {
			t.Errorf("%d lanes left when all is done", len(g.lanes))
		}
	})
}

func TestVariantsDoNotShareAndKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string, int]
		var mu sync.Mutex
		var order []string
		var at atomic.Int32
		work := func(name string) func() (int, error) {
			return func() (int, error) {
				if at.Add(1) != 1 {
					t.Error("two runs at once in one lane")
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				time.Sleep(time.Second)
				at.Add(-1)
				return len(name), nil
			}
		}

		var answers []<-chan answer
		for _, variant := range []string{"run", "x", "yy", "x", "zzz", "yy"} {
			answers = append(answers, ask(&g, "lane", variant, work(variant)))
			synctest.Wait()
		}
		for _, c := range answers {
			<-c
		}
		if got := strings.Join(order, " "); got != "run x yy zzz" {
			t.Errorf("runs were %q", got)
		}
	})
}

func TestLanesAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string, int]
		release := make(chan struct{})
		stuck := ask(&g, "stuck", "", func() (int, error) { <-release; return 1, nil })
		synctest.Wait()
		if a := <-ask(&g, "free", "", func() (int, error) { return 2, nil }); a.result != 2 {
			t.Errorf("got %v", a)
		}
		close(release)
		<-stuck
	})
}

func TestACallerThatGivesUpDoesNotStopTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string, int]
		gone := errors.New("the caller went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		finished := false
		result := make(chan error)
		go func() {
			_, err := g.Do(ctx, "a", "", func() (int, error) {
				time.Sleep(time.Minute)
				finished = true
				return 0, nil
			})
			result <- err
		}()
		synctest.Wait()
		cancel(gone)
		if err := <-result; !errors.Is(err, gone) {
			t.Errorf("got %v, want the cause", err)
		}
		g.Wait()
		if !finished {
			t.Error("the run was stopped")
		}
	})
}

func TestJoinSharesTheCurrentRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string, int]
		going := ask(&g, "a", "", func() (int, error) { time.Sleep(time.Second); return 1, nil })
		synctest.Wait()
		never := func() (int, error) { t.Error("a second run"); return 2, nil }
		if r, err := g.Join(t.Context(), "a", "other", never); r != 1 || err != nil {
			t.Errorf("Join = %d, %v", r, err)
		}
		<-going
		if r, err := g.Join(t.Context(), "a", "", func() (int, error) { return 3, nil }); r != 3 || err != nil {
			t.Errorf("Join of a lane at rest = %d, %v", r, err)
		}
	})
}

func TestErrorsAndPanicsReachEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string, int]
		broken := errors.New("broken")
		going := ask(&g, "a", "", func() (int, error) { time.Sleep(time.Second); panic("ouch") })
		synctest.Wait()
		var later []<-chan answer
		for range 3 {
			later = append(later, ask(&g, "a", "", func() (int, error) { return 0, broken }))
		}
		var p *panicError
		if a := <-going; !errors.As(a.err, &p) || p.value != "ouch" || !strings.Contains(p.Error(), "coalesce_test.go") {
			t.Errorf("a panic became %v", a.err)
		}
		for _, c := range later {
			if a := <-c; !errors.Is(a.err, broken) {
				t.Errorf("got %v", a.err)
			}
		}
		if a := <-ask(&g, "a", "", func() (int, error) { return 7, nil }); a.result != 7 {
			t.Errorf("the lane is stuck after a panic: %v", a)
		}
	})
}

func ExampleGroup() {
	var g Group[string, string, string]
	revision, err := g.Do(context.Background(), "mirror", "", func() (string, error) {
		return "fetched", nil
	})
	fmt.Println(revision, err)
	// Output: fetched <nil>
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string, int]
		work := func() (int, error) { time.Sleep(time.Second); return 1, nil }
		queue := func(lane, variant string, want error) {
			t.Helper()
			if _, err := g.Queue(lane, variant, work); !errors.Is(err, want) {
				t.Errorf("%s, %s: %v, want %v", lane, variant, err, want)
			}
		}
		queue("a", "first", nil)
		for i := range maxWaiting {
			queue("a", fmt.Sprint(i), nil)
		}
		queue("a", "first", errFull) // it has begun
		queue("a", "more", errFull)
		queue("a", "0", nil)
		queue("b", "more", nil)
		if _, err := g.Do(t.Context(), "a", "more", work); !errors.Is(err, errFull) {
			t.Errorf("do: %v", err)
		}
		if n, err := g.Join(t.Context(), "a", "more", work); n != 1 || err != nil {
			t.Errorf("joined %d, %v", n, err)
		}
		synctest.Wait()
		queue("a", "more", nil)
		g.Wait()
	})
}
