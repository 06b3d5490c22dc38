package why

import (
	"fmt"
	"time"

	"github.com/reconquest/sould/internal/units"
)

// Demand is what is known of a mirror that a read has made, beside what is known of any other, or of a
// name that such a mirror had. The zero value is for all others.
type Demand struct {
	Prefix  string        // of its table
	Made    bool          // there is one that a read has made, and nobody has POSTed it
	Read    time.Time     // when somebody read it last; zero if that is not known
	Unused  time.Duration // for how long nobody has read it while a sould ran
	Idle    time.Duration // for how long nobody may read it before it goes; 0 for any time
	Size    int64         // on disk, in bytes
	MaxSize int64         // that one may have; 0 for any
	Over    bool          // it is larger
	Used    int64         // by all of the table, with their trash
	Quota   int64         // for all of the table; 0 for any number

	Removed       time.Time     // when it was removed; zero if it was not, or if that is forgotten
	RemovedWhy    string        // "idle", "room", "max_size" or "broken"
	RemovedUnused time.Duration // for how long nobody had read it then
}

// gone says that the mirror was removed to keep to the bounds of its table.
func (d Demand) gone(f Facts) (all []string) {
	if d.Removed.IsZero() || f.Exists {
		return nil
	}
	why := map[string]string{
		"idle":     "nobody had read it for " + units.FormatSpan(d.RemovedUnused),
		"room":     "others needed its room, and nobody had read it for " + units.FormatSpan(d.RemovedUnused),
		"max_size": "others needed its room, and it was larger than max_size",
		"broken":   "others needed its room, and it could not be read",
	}[d.RemovedWhy]
	return []string{"A read had made it, and it was removed on " + f.when(d.Removed) + ", because " + why + ". The next read makes it again."}
}

// next says what becomes of a mirror that a read has made.
func (d Demand) next(f Facts) (all []string) {
	if !d.Made || !f.Exists {
		return nil
	}
	if !d.Read.IsZero() {
		all = append(all, "It was last read on "+f.when(d.Read)+".")
	}
	size := "It takes " + units.ShortSize(d.Size) + " on disk"
	if d.Over {
		size += fmt.Sprintf(", which is more than %s permits (%s): it is the next to go when room is needed", "max_size", units.ShortSize(d.MaxSize))
	}
	all = append(all, size+".")
	if left := d.Idle - d.Unused; d.Idle > 0 && left > 0 {
		all = append(all, "It will be removed in "+units.FormatSpan(left)+" if nobody reads it until then.")
	} else if d.Idle > 0 {
		all = append(all, "It will be removed in a moment: nobody has read it for "+units.FormatSpan(d.Unused)+".")
	}
	if d.Quota > 0 {
		all = append(all, fmt.Sprintf("Mirrors below %s take %s of their quota of %s. When another one needs room, the one goes that nobody has read for the longest time.",
			d.Prefix, units.ShortSize(d.Used), units.ShortSize(d.Quota)))
	}
	return all
}
