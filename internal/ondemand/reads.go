package ondemand

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reconquest/sould/internal/storage"
)

// readTimes is when mirrors were last read. It measures in the time for which a sould has run on the
// storage, and not by the clock: a clock that is set must not make all mirrors idle, or none, and while
// no sould runs, nobody can read. Dates are for people only.
type readTimes struct {
	began  time.Time     // of this process's part of that time, with a monotonic reading
	before time.Duration // what was counted before began
	of     map[storage.Name]readTime
	fresh  bool // something has changed since encode
}

// readTime is when a mirror was last read.
type readTime struct {
	at   time.Duration // in the time that readTimes measures
	date time.Time
}

// at is a moment of this process in the time that readTimes measures.
func (r *readTimes) at(moment time.Time) time.Duration {
	return max(r.before+moment.Sub(r.began), 0)
}

// observe records when a mirror was last read; zero for a moment before this process, or for never. A
// mirror of which nothing is known counts as read now.
func (r *readTimes) observe(name storage.Name, last, now time.Time) {
	known, ok := r.of[name]
	if last.IsZero() && !ok {
		last = now
	}
	if at := r.at(last); !last.IsZero() && (!ok || at > known.at) {
		r.of[name] = readTime{at, last}
		r.fresh = true
	}
}

// unused returns for how long nobody has read a mirror.
func (r *readTimes) unused(name storage.Name, now time.Time) time.Duration {
	known, ok := r.of[name]
	if !ok {
		return 0
	}
	return max(r.at(now)-known.at, 0)
}

// keep forgets the mirrors that are not among these.
func (r *readTimes) keep(names map[storage.Name]bool) {
	maps.DeleteFunc(r.of, func(name storage.Name, _ readTime) bool { return !names[name] })
}

const (
	// readTimesHead is the first line of the file of readTimes.
	readTimesHead = "sould reads 1"

	// maxReadTimes is how much of the file is read, in bytes: a line for each mirror.
	maxReadTimes = 64 << 20
)

// encode returns the content of a file: a line with the time that was counted up to now, in seconds,
// and one for each mirror, with its time and date, in seconds as well.
func (r *readTimes) encode(now time.Time) []byte {
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "%s\n%d\n", readTimesHead, seconds(r.at(now)))
	for _, name := range slices.SortedFunc(maps.Keys(r.of), storage.Name.Compare) {
		_, _ = fmt.Fprintf(&b, "%d %d %s\n", seconds(r.of[name].at), r.of[name].date.Unix(), name)
	}
	r.fresh = false
	return b.Bytes()
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// maxCounted is the longest time that a file may tell of, in seconds: a hundred years.
const maxCounted = 100 * 366 * 24 * 3600

// parseReadTimes reads the content of a file, for a process that has begun at that time. Lines that
// make no sense are left out: what they say is lost, and the mirrors count as read now.
func parseReadTimes(text string, began time.Time) *readTimes {
	r := &readTimes{began: began, of: make(map[storage.Name]readTime)}
	rest, ok := strings.CutPrefix(text, readTimesHead+"\n")
	counted, rest, _ := strings.Cut(rest, "\n")
	var before int64
	if _, err := fmt.Sscanf(counted, "%d", &before); !ok || err != nil || before < 0 || before > maxCounted {
		return r
	}
	r.before = time.Duration(before) * time.Second
	for line := range strings.Lines(rest) {
		var at, date int64
		var raw string
		if n, err := fmt.Sscanf(line, "%d %d %s\n", &at, &date, &raw); n != 3 || err != nil || at < 0 || at > before {
			continue
		}
		if name, err := storage.ParseName(raw); err == nil && name.String() == raw {
			r.of[name] = readTime{time.Duration(at) * time.Second, time.Unix(date, 0)}
		}
	}
	return r
}
