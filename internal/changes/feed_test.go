package changes

import (
	"slices"
	"sync"
	"testing"
)

func TestFeed(t *testing.T) {
	var f Feed[string]
	since := func(seen uint64, want ...string) {
		t.Helper()
		got, ok := f.Since(seen)
		if slices.Sort(got); !ok || !slices.Equal(got, want) {
			t.Errorf("since %d: %v %v, want %v", seen, got, ok, want)
		}
	}
	since(0)
	a, any := f.AfterOf("a", 0), f.After(0)
	f.Add("b")
	if isClosed(a) || !isClosed(any) {
		t.Error("a change of b is one of a, or of nothing")
	}
	f.Add("a")
	if !isClosed(a) || !isClosed(f.AfterOf("a", 0)) || isClosed(f.AfterOf("b", 1)) {
		t.Error("a change of a is none, or is one of b")
	}
	since(0, "a", "b")
	since(1, "a")
	since(2)
	if _, ok := f.Since(3); ok || !isClosed(f.AfterOf("a", 3)) {
		t.Error("changes that have not been are known")
	}
	b := f.AfterOf("b", 2)
	f.AddAll()
	if _, ok := f.Since(2); ok || !isClosed(b) || !isClosed(f.AfterOf("c", 2)) || isClosed(f.AfterOf("c", 3)) {
		t.Error("a change of all is not one of each")
	}
	since(3)
}

// TestFeedIsBounded: of too many things the latest changes are known, and what is forgotten is not denied.
func TestFeedIsBounded(t *testing.T) {
	var f Feed[int]
	for i := range maxKeys + 1 {
		f.Add(i)
	}
	if _, ok := f.Since(0); ok || len(f.last) > maxKeys {
		t.Errorf("%d are remembered", len(f.last))
	}
	if changed, ok := f.Since(maxKeys - 9); !ok || len(changed) != 10 {
		t.Errorf("%v %v", changed, ok)
	}
}

// TestFeedMissesNothing: who asks again and again for what has changed gets each last change.
func TestFeedMissesNothing(t *testing.T) {
	const writers, each = 4, 1000
	var f Feed[int]
	var values [writers]uint64
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for range each {
				mu.Lock()
				values[w]++
				mu.Unlock()
				f.Add(w)
			}
		})
	}
	var seen uint64
	shown := make(map[int]uint64)
	for seen < writers*each {
		<-f.After(seen)
		now := f.Count()
		changed, ok := f.Since(seen)
		if !ok {
			t.Fatal(seen)
		}
		for _, w := range changed {
			mu.Lock()
			shown[w] = values[w]
			mu.Unlock()
		}
		seen = now
	}
	all.Wait()
	for w := range writers {
		if shown[w] != each {
			t.Errorf("%d was seen at %d", w, shown[w])
		}
	}
}
