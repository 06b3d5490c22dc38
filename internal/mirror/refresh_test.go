package mirror

import (
	"testing"

	"github.com/reconquest/sould/internal/origin"
)

func TestWantsPull(t *testing.T) {
	remote, err := origin.Parse("https://h/x", false)
	if err != nil {
		t.Fatal(err)
	}
	local, err := origin.Parse("/x", true)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := origin.Parse("https://elsewhere/x", false)
	if err != nil {
		t.Fatal(err)
	}
	var allowed []origin.Pattern
	for _, raw := range []string{"h", "/x"} {
		p, err := origin.ParsePattern(raw)
		if err != nil {
			t.Fatal(err)
		}
		allowed = append(allowed, p)
	}
	const insists, pulled, ready = 1, 2, 4
	for _, c := range []struct {
		origin   origin.URL
		unsecure bool
		outcome  Outcome
		flags    int
		want     bool
	}{
		{remote, false, Success, pulled | ready, false},
		{remote, false, Success, ready, true},
		{remote, false, Failed, pulled | ready, true},
		{remote, false, Unknown, ready, true},
		{remote, false, Success, insists | pulled | ready, true},
		{remote, false, Failed, pulled, false},
		{remote, false, Failed, insists | pulled, false},
		{origin.URL{}, true, Unknown, insists | ready, false},
		{local, false, Failed, insists | ready, false},
		{local, true, Failed, ready, true},
		{elsewhere, true, Failed, insists | ready, false},
	} {
		s := &Snapshot{Origin: c.origin, Outcome: c.outcome}
		got := wantsPull(s, origin.Policy{Local: c.unsecure, Patterns: allowed}, c.flags&insists != 0, c.flags&pulled != 0, c.flags&ready != 0)
		if got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
