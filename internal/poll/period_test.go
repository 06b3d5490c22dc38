package poll

import (
	"fmt"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

func name(t *testing.T, text string) storage.Name {
	t.Helper()
	n, err := storage.ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPeriod(t *testing.T) {
	const every = 5 * time.Minute
	for _, c := range []struct {
		age      time.Duration
		failures int
		gone     bool
		want     int // as a multiple of every
	}{
		{0, 0, false, 1},
		{-time.Hour, 0, false, 1}, // a date in the future
		{50 * time.Minute, 0, false, 1},
		{100 * time.Minute, 0, false, 2},
		{499 * time.Minute, 0, false, 9},
		{10 * time.Hour, 0, false, 12},
		{10 * 365 * 24 * time.Hour, 0, false, 12},
		{0, 1, false, 2},
		{0, 2, false, 4},
		{0, 3, false, 8},
		{0, 4, false, 12},
		{0, 1000, false, 12},
		{4 * time.Hour, 1, false, 4}, // the larger of both
		{4 * time.Hour, 3, false, 8},
		{0, 0, true, 12},
		{0, 1, true, 12},
	} {
		if got := period(every, c.age, c.failures, c.gone); got != time.Duration(c.want)*every {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestMoment(t *testing.T) {
	from := time.Now()
	const second, half = time.Second, phase(1 << 63)
	for _, c := range []struct {
		phase     phase
		notBefore time.Duration // after from
		want      time.Duration
	}{
		{0, 0, 0}, {0, 1, 10 * second}, {0, 10 * second, 10 * second}, {0, 10*second + 1, 20 * second},
		{half, 0, 5 * second}, {half, 5 * second, 5 * second}, {half, 6 * second, 15 * second}, {half, 86_400 * second, 86_405 * second},
	} {
		if got := moment(c.phase, 10*second, from, from.Add(c.notBefore)).Sub(from); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestMomentsAreSpread: of as many mirrors as an hour has seconds, no second has far more than another.
func TestMomentsAreSpread(t *testing.T) {
	const mirrors, period = 36_000, time.Hour
	from, most := time.Now(), 0
	seconds := make(map[int]int)
	for n := range mirrors {
		at := moment(phaseOf(name(t, fmt.Sprintf("pool/repository-%d", n))), period, from, from)
		s := int(at.Sub(from) / time.Second)
		seconds[s]++
		most = max(most, seconds[s])
	}
	if len(seconds) < 3590 || most > 35 { // ten on average
		t.Errorf("%d of 3,600 seconds have a look, one of them has %d", len(seconds), most)
	}
}
