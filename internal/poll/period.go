package poll

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"

	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

const (
	// slowest is the longest period between two looks at a mirror, as a multiple of the interval.
	slowest = 12

	// shareOfAge is the part of the time since a mirror's latest change after which it is looked at
	// again.
	shareOfAge = 10
)

// CheckInterval checks the interval of mirrors, which is 0 for never.
func CheckInterval(every time.Duration) error {
	if every == 0 || every >= LeastInterval {
		return nil
	}
	return fmt.Errorf("%s is too short: write %s or longer, or 0 for never", units.FormatDuration(every), units.FormatDuration(LeastInterval))
}

// period returns the time between two looks at a mirror. every is the interval; age is the time since
// the mirror's latest change, and negative if its date lies in the future; failures is how many looks
// in a row have failed; gone means that the origin is said to be deleted.
func period(every, age time.Duration, failures int, gone bool) time.Duration {
	factor := min(max(age/shareOfAge/every, 1), slowest)
	if failures > 0 {
		doubled := time.Duration(1) << min(failures, 4)
		factor = max(factor, min(doubled, slowest))
	}
	if gone {
		factor = slowest
	}
	return every * factor
}

// ageOf is the time since a mirror's latest change, by the clock on the wall; 0 if that is not known.
func ageOf(changed, now time.Time) time.Duration {
	if changed.IsZero() {
		return 0
	}
	return now.Round(0).Sub(changed)
}

// phase is a name's place in any period, as a fraction of 2⁶⁴.
type phase uint64

func phaseOf(name storage.Name) phase {
	sum := sha256.Sum256([]byte(name.String()))
	return phase(binary.BigEndian.Uint64(sum[:]))
}

// of returns the phase's part of a period.
func (p phase) of(period time.Duration) time.Duration {
	part, _ := bits.Mul64(uint64(p), uint64(period))
	return time.Duration(part)
}

// moment returns the first moment of a mirror that is not before a time. Its moments have a period
// between them, and are counted from a time before all others.
func moment(p phase, period time.Duration, from, notBefore time.Time) time.Time {
	first := from.Add(p.of(period))
	n := notBefore.Sub(first) / period
	at := first.Add(n * period)
	if at.Before(notBefore) {
		at = at.Add(period)
	}
	return at
}
