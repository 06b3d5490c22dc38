package ondemand

import (
	"strings"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

func mustName(t *testing.T, raw string) storage.Name {
	t.Helper()
	name, err := storage.ParseName(raw)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestReadTimes: how long nobody has read a mirror survives a restart, whatever the clock says then.
func TestReadTimes(t *testing.T) {
	a, b, c := mustName(t, "a"), mustName(t, "b/c"), mustName(t, "c")
	start := time.Now()
	r := parseReadTimes("", start)
	r.observe(a, time.Time{}, start)
	r.observe(b, time.Time{}, start)
	r.observe(b, start.Add(50*time.Minute), start.Add(time.Hour))
	r.observe(b, start.Add(40*time.Minute), start.Add(time.Hour)) // told late
	end := start.Add(time.Hour)
	if r.unused(a, end) != time.Hour || r.unused(b, end) != 10*time.Minute || r.unused(c, end) != 0 {
		t.Error(r.unused(a, end), r.unused(b, end), r.unused(c, end))
	}
	if !r.fresh {
		t.Error("nothing has changed")
	}
	text := string(r.encode(end))
	if r.fresh {
		t.Error("something has changed")
	}
	for what, set := range map[string]time.Duration{"in order": time.Minute, "a year back": -366 * 24 * time.Hour, "ten years on": 10 * 366 * 24 * time.Hour} {
		began := end.Add(set)
		again := parseReadTimes(text, began)
		later := began.Add(5 * time.Minute)
		if again.unused(a, later) != 65*time.Minute || again.unused(b, later) != 15*time.Minute {
			t.Errorf("%s: %s, %s", what, again.unused(a, later), again.unused(b, later))
		}
		again.observe(a, began.Add(time.Minute), later)
		if again.unused(a, later) != 4*time.Minute {
			t.Errorf("%s: %s", what, again.unused(a, later))
		}
	}
	r.keep(map[storage.Name]bool{b: true})
	if strings.Contains(string(r.encode(end)), " a\n") || !strings.Contains(string(r.encode(end)), " b/c\n") {
		t.Errorf("%s", r.encode(end))
	}
}

// TestReadTimesThatMakeNoSense: a file that is damaged costs what it says, and nothing more.
func TestReadTimesThatMakeNoSense(t *testing.T) {
	began := time.Now()
	a := mustName(t, "a")
	for _, text := range []string{
		"", "x", readTimesHead, readTimesHead + "\n", readTimesHead + "\n-1\n0 0 a\n", readTimesHead + "\n99999999999999\n0 0 a\n",
		"sould reads 2\n10\n0 0 a\n", readTimesHead + "\n10\n11 0 a\n", readTimesHead + "\n10\n-1 0 a\n", readTimesHead + "\n10\n1 0 ../a\n",
		readTimesHead + "\n10\n1 0 /a\n", readTimesHead + "\n10\n1 a\n", readTimesHead + "\n10\n1 0 a b\n", readTimesHead + "\n10\nx 0 a\n",
	} {
		r := parseReadTimes(text, began)
		if len(r.of) != 0 || r.unused(a, began.Add(time.Hour)) != 0 {
			t.Errorf("%q: %v", text, r.of)
		}
		r.observe(a, time.Time{}, began.Add(time.Hour))
		if got := r.unused(a, began.Add(2*time.Hour)); got != time.Hour {
			t.Errorf("%q: %s", text, got)
		}
	}
	if r := parseReadTimes(readTimesHead+"\n10\nrubbish\n1 0 a\n", began); r.unused(a, began) != 9*time.Second {
		t.Error("one bad line costs another one")
	}
}
