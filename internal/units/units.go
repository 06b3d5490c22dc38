// Package units parses and formats durations and sizes as people write them: "90s", "1500"
// (milliseconds), "4GiB", "500 MB".
package units

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// day is 24 hours, also where the clocks change.
const day = 24 * time.Hour

// ParseDuration parses a number of milliseconds ("1500") or a number with a unit ("90s",
// "1h30m", "30d", "2w"). A day has 24 hours.
func ParseDuration(s string) (time.Duration, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Milliseconds(ms)
	}
	if d, ok := parseLong(s); ok {
		return d, nil
	}
	return 0, fmt.Errorf("%q is not a duration; write a number of milliseconds (1500), or one with a unit (\"90s\", \"10m\", \"1h30m\", \"30d\", \"2w\")", s)
}

// parseLong is time.ParseDuration with weeks and days before what that reads.
func parseLong(s string) (time.Duration, bool) {
	rest, negative := strings.CutPrefix(s, "-")
	var long float64
	for _, unit := range []struct {
		suffix string
		length time.Duration
	}{{"w", 7 * day}, {"d", day}} {
		number, after, found := strings.Cut(rest, unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || strings.Trim(number, "0123456789.") != "" {
			return 0, false
		}
		long, rest = long+n*float64(unit.length), after
	}
	if rest == s || negative && long == 0 {
		d, err := time.ParseDuration(s)
		return d, err == nil
	}
	var d time.Duration
	if rest != "" {
		var err error
		if d, err = time.ParseDuration(rest); err != nil || d < 0 || rest[0] == '+' {
			return 0, false
		}
	}
	if long+float64(d) >= math.MaxInt64 {
		return 0, false
	}
	if d += time.Duration(long); negative {
		d = -d
	}
	return d, true
}

// FormatDuration formats a duration for people, without parts that are zero, such as "10m" or "30d",
// so that ParseDuration returns the same.
func FormatDuration(d time.Duration) string {
	if d < day {
		return shorten(d.String())
	}
	text := strconv.FormatInt(int64(d/day), 10) + "d"
	if d%day != 0 {
		text += shorten((d % day).String())
	}
	return text
}

func shorten(s string) string {
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Milliseconds returns n milliseconds. The error says that no duration is that long.
func Milliseconds(n int64) (time.Duration, error) {
	if n > math.MaxInt64/int64(time.Millisecond) || n < math.MinInt64/int64(time.Millisecond) {
		return 0, errors.New("it is longer than 292 years")
	}
	return time.Duration(n) * time.Millisecond, nil
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// ParseSize parses a number of bytes ("4096") or a number with a unit ("4GiB", "500 MB",
// "1.5GiB"). It returns bytes.
func ParseSize(s string) (int64, error) {
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(s, unit.suffix)
		if !ok {
			continue
		}
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/unit.bytes {
			return n * unit.bytes, nil // a float would round
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || math.IsNaN(n) || n < 0 || n*float64(unit.bytes) >= math.MaxInt64 {
			break
		}
		return int64(n * float64(unit.bytes)), nil
	}
	return 0, fmt.Errorf("%q is not a size; write a number of bytes (4096), or one with a unit (\"500MB\", \"4GiB\")", s)
}

// FormatSize formats a size in bytes, so that ParseSize returns the same.
func FormatSize(n int64) string {
	for _, unit := range []int{3, 2, 1, 0} {
		if u := sizeUnits[unit]; n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// FormatSeconds formats a duration for people, such as "1.25s".
func FormatSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + "s"
}

// ShortSize formats a size in bytes for people, in about three digits: "812 B", "5.1 MiB".
func ShortSize(n int64) string {
	const units = "KMGTPE"
	value, unit := float64(n), -1
	for value >= 1000 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	switch {
	case unit < 0:
		return strconv.FormatInt(n, 10) + " B"
	case value < 9.95:
		return fmt.Sprintf("%.1f %ciB", value, units[unit])
	default:
		return fmt.Sprintf("%.0f %ciB", value, units[unit])
	}
}

// FormatSpan formats how long ago something was, for people: in one unit, rounded down, such as
// "3 minutes".
func FormatSpan(d time.Duration) string {
	for _, unit := range []struct {
		name string
		span time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		switch n := d / unit.span; {
		case n == 1:
			return "1 " + unit.name
		case n > 1:
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return "a moment"
}
