package insight

import (
	"errors"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// TestAwaitNews: a page that waits is told of a change at once, also if that was before it came; one too
// many does not wait, and none holds up a server that stops.
func TestAwaitNews(t *testing.T) {
	i := newInsight(t, []string{"a"}, nil, "")
	i.Descriptors = 32 // for one page
	name, err := storage.ParseName("a")
	if err != nil {
		t.Fatal(err)
	}
	closing := make(chan struct{})
	wait := func(v Version) <-chan struct{} {
		over := make(chan struct{})
		go func() {
			i.awaitNews(t.Context(), closing, v, time.Hour)
			close(over)
		}()
		return over
	}
	seen := i.Version()
	first := wait(seen)
	for i.watchers.Taken() == 0 {
		time.Sleep(time.Millisecond)
	}
	<-wait(seen) // has no place
	select {
	case <-first:
		t.Error("it does not wait, though nothing has changed")
	default:
	}
	i.Store.Refuse(name, "somebody", errors.New("x"))
	<-first
	if i.Version() == seen {
		t.Error("a page that has changed has the version that it had")
	}
	<-wait(seen)
	last := wait(i.Version())
	began := time.Now()
	close(closing)
	<-last
	if time.Since(began) >= MaxWatch/2 { // when it would end by itself, at the latest
		t.Error("it holds up a server that stops")
	}
	if n := i.watchers.Taken(); n != 0 {
		t.Errorf("%d places are not given back", n)
	}
}
