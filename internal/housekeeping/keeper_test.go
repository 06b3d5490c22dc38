package housekeeping

import (
	"testing"
	"time"
)

func TestLookAgain(t *testing.T) {
	for keep, want := range map[time.Duration]time.Duration{
		0: time.Hour / 16, time.Millisecond: time.Second, 32 * time.Second: 2 * time.Second, 720 * time.Hour: time.Hour,
	} {
		if got := lookAgain(keep); got != want {
			t.Errorf("lookAgain(%s) = %s", keep, got)
		}
	}
}
