package main

import (
	"testing"
)

func TestPostingBound(t *testing.T) {
	for slaves, want := range map[int]int64{0: maxPostings, 5: maxPostings, 31: 1024, 1000: 32, 100_000: leastPostings} {
		if got := postingBound(slaves); got != want {
			t.Errorf("%d slaves: %d at once", slaves, got)
		}
	}
}
