package tally

import (
	"sync"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	var d Durations
	if c := d.Counts(); c != (Counts{}) {
		t.Errorf("empty: %+v", c)
	}
	for _, took := range []time.Duration{0, Bounds[0], Bounds[0] + 1, time.Second, time.Hour} {
		d.Add(took)
	}
	c := d.Counts()
	want := Counts{Count: 5, Sum: 2*Bounds[0] + 1 + time.Second + time.Hour}
	for i, bound := range Bounds {
		switch {
		case bound < 25*time.Millisecond:
			want.Within[i] = 2
		case bound < time.Second:
			want.Within[i] = 3
		default:
			want.Within[i] = 4
		}
	}
	if c != want {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
}

func TestBoundsAscend(t *testing.T) {
	for i := 1; i < len(Bounds); i++ {
		if Bounds[i] <= Bounds[i-1] {
			t.Errorf("%s follows %s", Bounds[i], Bounds[i-1])
		}
	}
}

func TestDurationsTogether(t *testing.T) {
	var d Durations
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				d.Add(time.Millisecond)
			}
		})
	}
	all.Wait()
	if c := d.Counts(); c.Count != 8000 || c.Within[0] != 8000 || c.Sum != 8*time.Second {
		t.Errorf("%+v", c)
	}
	if n := testing.AllocsPerRun(100, func() { d.Add(time.Second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
