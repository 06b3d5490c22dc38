package units

import (
	"math"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "1500": 1500 * time.Millisecond, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "-5": -5 * time.Millisecond,
		"250ms": 250 * time.Millisecond, "30d": 720 * time.Hour, "2w": 336 * time.Hour, "1d12h": 36 * time.Hour, "1w1d": 192 * time.Hour,
		"0.5d": 12 * time.Hour, "-1d1h": -25 * time.Hour, "0d": 0,
	} {
		if got, err := ParseDuration(s); got != want || err != nil {
			t.Errorf("ParseDuration(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "x", "5 s", "d", "1d1w", "1d-1h", "1d+1h", "1e3d", "d1h", "200000d", "1dd", "--1d", "9223372036854775807", "1.5"} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("ParseDuration(%q) = %v", s, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Millisecond: "1.5s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", time.Hour: "1h", 3601 * time.Second: "1h0m1s",
		24 * time.Hour: "1d", 36*time.Hour + time.Minute: "1d12h1m", 10 * 365 * 24 * time.Hour: "3650d", -time.Minute: "-1m",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "4096": 4096, "4GiB": 4 << 30, "1.5KiB": 1536, "500 MB": 500e6, "10B": 10, "2TB": 2e12, "3kB": 3000,
	} {
		got, err := ParseSize(s)
		if got != want || err != nil {
			t.Errorf("ParseSize(%q) = %d, %v", s, got, err)
		}
		if again, err := ParseSize(FormatSize(got)); again != got || err != nil {
			t.Errorf("%d is written %q and read %d, %v", got, FormatSize(got), again, err)
		}
	}
	for _, s := range []string{"", "x", "-1", "4gib", "GiB", "1e30", "NaN", "9999999TiB", "4 GiB 2"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) = %d", s, got)
		}
	}
}

func TestShortSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 KiB", 1024: "1.0 KiB", 5295308: "5.0 MiB", 1 << 30: "1.0 GiB", 99 << 20: "99 MiB", 1023 << 20: "1.0 GiB",
		10 << 10: "10 KiB", math.MaxInt64: "8.0 EiB",
	} {
		if got := ShortSize(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
