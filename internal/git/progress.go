package git

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/reconquest/sould/internal/units"
)

// Progress is how far a command is, as git tells it about once a second.
type Progress struct {
	Step    string // what is done, in words, such as "receiving objects"; never empty
	Percent int    // 0 to 100; only if Total is known
	Done    int64  // objects or deltas
	Total   int64  // of them; 0 if it is not known
	Bytes   int64  // received so far; 0 if git does not say
	Rate    int64  // bytes per second; 0 if git does not say
}

// String returns the progress in words:
//
//	receiving objects 34 % (340 of 1000), 5.0 MiB at 1.2 MiB/s
func (p Progress) String() string {
	text := p.Step
	switch {
	case p.Total > 0:
		text += fmt.Sprintf(" %d %% (%d of %d)", p.Percent, p.Done, p.Total)
	case p.Done > 0:
		text += fmt.Sprintf(" %d", p.Done)
	}
	if p.Bytes > 0 {
		text += ", " + units.ShortSize(p.Bytes)
	}
	if p.Rate > 0 {
		text += " at " + units.ShortSize(p.Rate) + "/s"
	}
	return text
}

// Receives reports whether objects arrive.
func (p Progress) Receives() bool { return p.Step == "receiving objects" }

// isCheck reports whether git checks the objects that arrive (git-index-pack(1)). It says so of every
// transfer in which something arrives, but of one from a server of files (dumb http) it does not,
// and does not check.
func (p Progress) isCheck() bool { return p.Receives() }

// progressLine is a line of git's progress (its progress.c), also one of the remote. JGit has
// verbs of its own, such as "Finding sources".
var progressLine = regexp.MustCompile(`^(remote: )?([A-Z][a-z]{1,20}ing [a-z ]{0,39}[a-z]): +` +
	`(?:([0-9]{1,3})% \(([0-9]{1,18})/([0-9]{1,18})\)|([0-9]{1,18}))` +
	`(?:, ([0-9.]{1,18}) (bytes?|[KMGT]iB)(?: \| ([0-9.]{1,18}) (bytes?|[KMGT]iB)/s)?)?`)

// totalLine is the last line of a remote that packs objects.
var totalLine = regexp.MustCompile(`^(remote: )?Total [0-9]+ `)

// parseProgress reads a line of progress.
func parseProgress(line string) (p Progress, ok bool) {
	m := progressLine.FindStringSubmatch(line)
	if m == nil {
		return p, false
	}
	p.Step = strings.ToLower(m[2])
	if m[1] != "" {
		p.Step += " at the remote"
	}
	if m[5] != "" {
		p.Done, p.Total = number(m[4]), number(m[5])
		p.Percent = min(int(number(m[3])), 100)
		p.Done = min(p.Done, p.Total)
	} else {
		p.Done = number(m[6])
	}
	p.Bytes, p.Rate = size(m[7], m[8]), size(m[9], m[10])
	return p, true
}

// number is the value of digits, or 0.
func number(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64) // progressLine lets nothing else through
	return n
}

// size is a size as git writes it, in bytes, or 0.
func size(value, unit string) int64 {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0
	}
	n *= float64(int64(1) << (10 * (strings.Index("bKMGT", unit[:1]))))
	if n >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(n)
}

// refLine is a line in which git fetch tells what it does with its own refs. There can be one
// for each ref of an origin, and nobody wants to read them.
var refLine = regexp.MustCompile(`^(From \S+| [ *+=!t-] .* -> \S+.*)$`)
