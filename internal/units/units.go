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

// ParseDuration parses a number of milliseconds ("1500") or a number with a unit ("90s",
// "1h30m").
func ParseDuration(s string) (time.Duration, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Milliseconds(ms)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration; write milliseconds (1500) or a unit (\"90s\", \"10m\", \"1h30m\")", s)
	}
	return d, nil
}

// Milliseconds returns n milliseconds. The error says that no duration is that long.
func Milliseconds(n int64) (time.Duration, error) {
	if n > math.MaxInt64/int64(time.Millisecond) || n < math.MinInt64/int64(time.Millisecond) {
		return 0, errors.New("that is more than 292 years")
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
	return 0, fmt.Errorf("%q is no size; write bytes (4096) or a unit (\"500MB\", \"4GiB\")", s)
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
