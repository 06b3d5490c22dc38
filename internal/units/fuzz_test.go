package units

import (
	"testing"
)

// FuzzUnits: formatted durations and sizes parse to the same values.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"1500", "90s", "1h30m", "30d", "2w1.5d2h", "-1d", "-0d", "1dd", "106752d", "-1", "4GiB", "500 MB", "1.5GiB", "9007199254740993", "1e400", "NaN", "0x1p10B", "9223372036854775807", "+1", "Inf", "1_000"} {
		f.Add(s, int64(len(s))<<53+1)
	}
	f.Fuzz(func(t *testing.T, s string, n int64) {
		if d, err := ParseDuration(s); err == nil {
			for _, shown := range []string{d.String(), FormatDuration(d)} {
				if again, err := ParseDuration(shown); err != nil || again != d {
					t.Errorf("%q is %s, shown as %s, which reads as %s, %v", s, d, shown, again, err)
				}
			}
		}
		sizes := []int64{max(n, 0)}
		if size, err := ParseSize(s); err == nil {
			sizes = append(sizes, size)
		}
		for _, size := range sizes {
			if again, err := ParseSize(FormatSize(size)); err != nil || again != size || size < 0 {
				t.Errorf("%d bytes are shown as %s, which reads as %d, %v", size, FormatSize(size), again, err)
			}
		}
	})
}
