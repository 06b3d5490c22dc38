package changes

import (
	"sync"
	"testing"
)

func isClosed(wait <-chan struct{}) bool {
	select {
	case <-wait:
		return true
	default:
		return false
	}
}

func TestCounter(t *testing.T) {
	var c Counter
	first, second := c.After(0), c.After(0)
	if isClosed(first) || isClosed(second) {
		t.Error("a change was told that has not been")
	}
	c.Add()
	if !isClosed(first) || !isClosed(second) || !isClosed(c.After(0)) {
		t.Error("a change was not told to all who waited, or not to who came later")
	}
	if isClosed(c.After(c.Count())) {
		t.Error("an old change was told as a new one")
	}
}

// TestNoChangeIsMissed: whoever waits for what comes after the count that he has seen learns of the
// last change, however many come at once.
func TestNoChangeIsMissed(t *testing.T) {
	const writers, each = 4, 1000
	var c Counter
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				c.Add()
			}
		})
	}
	for seen := c.Count(); seen < writers*each; seen = c.Count() {
		<-c.After(seen)
	}
	all.Wait()
}
