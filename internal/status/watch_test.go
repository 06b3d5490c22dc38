package status

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/storage"
)

// waitFor waits until the watch of a query has looked that often, with that many who wait.
func (r *Reporter) waitFor(t *testing.T, q Query, looks, waiting int) *watch {
	t.Helper()
	for {
		r.watching.mu.Lock()
		w := r.watching.byQuery[q]
		if w != nil && w.waiting == waiting {
			seen := w.changed.Count()
			w.mu.Lock()
			n := w.latest.n
			w.mu.Unlock()
			r.watching.mu.Unlock()
			if n >= looks {
				return w
			}
			<-w.changed.After(seen)
			continue
		}
		r.watching.mu.Unlock()
		select {
		case <-t.Context().Done():
			t.Fatal("nobody waits")
		default:
		}
	}
}

// TestManyWaitersShareALook: however many wait for an answer, it is looked at once after a change; who waits
// for one mirror is not woken by others; and nothing is left of them.
func TestManyWaitersShareALook(t *testing.T) {
	const waiters = 200
	r := newReporter(t)
	opts := func() *Options { return &Options{Role: "slave"} }
	a, err := storage.ParseName("a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := storage.ParseName("b")
	if err != nil {
		t.Fatal(err)
	}
	all := Query{format: "json", progress: true, hold: 1}
	current, err := r.Answer(t.Context(), opts(), all, Asker{}, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	began, over := time.Now(), make(chan struct{})
	var running sync.WaitGroup
	answers := make(chan Answer, waiters)
	for range waiters {
		running.Go(func() {
			answer, err := r.Await(t.Context(), over, opts, all, current)
			if err != nil {
				t.Error(err)
			}
			answers <- answer
		})
	}
	w := r.waitFor(t, all, 1, waiters)
	select {
	case <-answers:
		t.Error("nothing has changed, and there is an answer")
	default:
	}
	r.Store.Refuse(a, "somebody", errors.New("x"))
	running.Wait()
	for range waiters {
		if answer := <-answers; answer.ETag == current.ETag || len(answer.Body) == 0 {
			t.Fatalf("%+v", answer)
		}
	}
	w.mu.Lock()
	looks := w.begun
	w.mu.Unlock()
	if looks > 4+int(time.Since(began)/lookEvery) { // it looks that often without a change, too
		t.Errorf("%d looks for one change", looks)
	}

	since := all
	since.hasSince, since.since = true, r.now().String()
	one := since
	one.name = a
	var news sync.WaitGroup
	news.Go(func() {
		answer, err := r.Await(t.Context(), over, opts, since, Answer{since: true})
		if err != nil || !answer.News || !strings.Contains(string(answer.Body), `"removed":["b"]`) {
			t.Errorf("%v: %s", err, answer.Body)
		}
	})
	r.waitFor(t, since, 1, 1)
	r.Store.Refuse(b, "somebody", errors.New("x"))
	news.Wait()
	quiet := r.join(opts, one)
	r.waitFor(t, one, 1, 1)
	for range 20 {
		since.since = r.now().String()
		news.Go(func() { _, _ = r.Await(t.Context(), over, opts, since, Answer{since: true}) })
		r.waitFor(t, since, 1, 1)
		r.Store.Refuse(b, "somebody", errors.New("x"))
		news.Wait()
	}
	r.leave(one, quiet)
	r.Wait()
	if quiet.begun != 1 || len(r.watching.byQuery) != 0 {
		t.Errorf("%d looks, because of another mirror; %d watches are left", quiet.begun, len(r.watching.byQuery))
	}
}

// TestLateWaiter: who has another answer than the last look has found is not given that, which may be older,
// but one that is looked for at once.
func TestLateWaiter(t *testing.T) {
	r := newReporter(t)
	opts := func() *Options { return &Options{Role: "slave"} }
	name, err := storage.ParseName("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := git.New(git.Options{}).Repo(r.Dir.MirrorDir(name)).Init(t.Context(), 0, ""); err != nil {
		t.Fatal(err)
	}
	q := Query{format: "json", hold: 1, name: name} // at one mirror nobody looks again without a reason
	w := r.join(opts, q)
	r.waitFor(t, q, 1, 1)
	answer, err := r.Await(t.Context(), nil, opts, q, Answer{ETag: `"older or newer"`})
	r.leave(q, w)
	r.Wait()
	if err != nil || answer.ETag == `"older or newer"` || w.begun < 2 {
		t.Errorf("%v: %s after %d looks", err, answer.ETag, w.begun)
	}
}

// TestCursor: only a cursor of this start says what has changed.
func TestCursor(t *testing.T) {
	r := newReporter(t)
	name, err := storage.ParseName("a")
	if err != nil {
		t.Fatal(err)
	}
	before := r.now()
	r.Store.Refuse(name, "somebody", errors.New("x"))
	after := r.now()
	if names := r.since(before.String(), true); len(names) != 1 || !names[name] {
		t.Errorf("%v", names)
	}
	if names := r.since(after.String(), true); names == nil || len(names) != 0 {
		t.Errorf("%v", names)
	}
	for _, text := range []string{"", "e", "e-", "e-1", "e-1-", "f-1-0", "e-1-0x", "e-+1-0", "e--1-0", "e-99-0", "e-1-99", "e-99999999999999999999999-0", "%d-1-0"} {
		if names := r.since(text, true); names != nil {
			t.Errorf("%q: %v", text, names)
		}
	}
}
