package mirror

import (
	"fmt"
	"testing"
	"time"
)

func TestPauses(t *testing.T) {
	var p pauses
	now := time.Now()
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	if !p.until("a", now).IsZero() || p.count(now) != 0 {
		t.Error("there is a pause from the start")
	}
	if !p.set("a", at(0), 10*time.Second) || p.set("a", at(1), time.Second) {
		t.Error("what is news is not")
	}
	if got := p.until("a", at(5)); !got.Equal(at(10)) {
		t.Errorf("the longer pause does not hold: %s", got.Sub(now))
	}
	if !p.until("b", at(5)).IsZero() {
		t.Error("another host has the pause")
	}
	p.answered("a", at(1)) // the question is as old as the pause
	p.answered("b", at(9))
	if p.until("a", at(5)).IsZero() {
		t.Error("an answer to an older question has ended the pause")
	}
	p.answered("a", at(2))
	if !p.until("a", at(5)).IsZero() {
		t.Error("an answer has not ended the pause")
	}
	p.set("a", at(0), 10*time.Second)
	if !p.until("a", at(10)).IsZero() || p.count(at(10)) != 0 {
		t.Error("the pause does not end")
	}
	for n := range maxPauses + 10 {
		p.set(fmt.Sprint(n), at(20), time.Minute)
	}
	if n := p.count(at(21)); n != maxPauses || p.until(fmt.Sprint(maxPauses+9), at(21)).IsZero() {
		t.Errorf("%d pauses", n)
	}
}
