package housekeeping

import (
	"testing"
	"time"
)

func TestPollInterval(t *testing.T) {
	for period, want := range map[time.Duration]time.Duration{
		0: time.Hour / 16, time.Millisecond: time.Second, 32 * time.Second: 2 * time.Second, 720 * time.Hour: time.Hour,
	} {
		if got := pollInterval(period); got != want {
			t.Errorf("pollInterval(%s) = %s", period, got)
		}
	}
}
