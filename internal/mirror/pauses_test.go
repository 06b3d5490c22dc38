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

// TestPausesOutliveARestart, whatever stands in the file, and wherever the clock was set meanwhile.
func TestPausesOutliveARestart(t *testing.T) {
	var p pauses
	now := time.Now()
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	p.set("https://a.example", now, 10*time.Minute)
	p.set("https://b.example", now, 10*time.Second)
	text := string(p.encode(now))
	for what, c := range map[string]struct {
		text  string
		now   time.Time
		wants map[string]int // seconds
	}{
		"at once":             {text, now, map[string]int{"https://a.example": 600, "https://b.example": 10}},
		"a minute later":      {text, at(60), map[string]int{"https://a.example": 540}},
		"an hour later":       {text, at(3600), nil},
		"clock set back":      {text, at(-24 * 3600), map[string]int{"https://a.example": 3600, "https://b.example": 3600}},
		"no file":             {"", now, nil},
		"something else":      {"\x00\xff\n\n \n{}\n9999-12-31T23:59:59Z\n9999-12-31T23:59:59Z \nsoon h\n-1 h\n", now, nil},
		"the end of the year": {"9999-12-31T23:59:59Z h\n", now, map[string]int{"h": 3600}},
		"cut off":             {text + at(60).UTC().Format(time.RFC3339)[:12], now, map[string]int{"https://a.example": 600, "https://b.example": 10}},
	} {
		var after pauses
		after.decode(c.text, c.now)
		if n := after.count(c.now); n != len(c.wants) {
			t.Errorf("%s: %d pauses", what, n)
		}
		for host, seconds := range c.wants {
			left := after.until(host, c.now).Sub(c.now)
			if want := time.Duration(seconds) * time.Second; left > want || left < want-2*time.Second {
				t.Errorf("%s: %s has %s, want %s", what, host, left, want)
			}
		}
	}
}
