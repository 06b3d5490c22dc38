package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/durable"
)

// pauses are the hosts of origins that have asked to be left alone. Readers and polls heed that for
// all mirrors of the host; a POST, by which somebody says that there is something new, does not. They
// outlive a restart: whoever asks again while a host limits it may be shut out for longer. The zero value
// has none.
type pauses struct {
	writing sync.Mutex // held while the file is written

	mu sync.Mutex // guards of
	of map[string]pause
}

// pause is by the monotonic clock.
type pause struct{ asked, until time.Time }

const (
	// maxPauses is how many hosts are left alone.
	maxPauses = 4096

	// longestPause is the longest pause that git.RetryAfter returns.
	longestPause = time.Hour

	// maxPausesFile is how much of the file is read, in bytes.
	maxPausesFile = 1 << 20
)

// set records that a host has asked at now to be left alone for that long. It reports whether it had
// not asked before. Of several pauses the longest holds.
func (p *pauses) set(host string, now time.Time, wait time.Duration) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	before, known := p.of[host]
	if p.of == nil {
		p.of = make(map[string]pause)
	}
	for other := range p.of {
		if known || len(p.of) < maxPauses {
			break
		}
		delete(p.of, other)
	}
	p.of[host] = pause{now, later(before.until, now.Add(wait))}
	return !known
}

// answered ends the pause of a host that has answered a question which was asked at that time, unless
// the host has asked for the pause since. It reports whether it has ended one.
func (p *pauses) answered(host string, asked time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.of[host]
	if ok = ok && known.asked.Before(asked); ok {
		delete(p.of, host)
	}
	return ok
}

// until is the end of a host's pause; zero if it has none.
func (p *pauses) until(host string, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.of[host]; known.until.After(now) {
		return known.until
	}
	return time.Time{}
}

// count is how many hosts have a pause.
func (p *pauses) count(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	return len(p.of)
}

// expire forgets pauses that are over. The caller holds p.mu.
func (p *pauses) expire(now time.Time) {
	for host, known := range p.of {
		if !known.until.After(now) {
			delete(p.of, host)
		}
	}
}

// encode is the text of a file: a line for each host, with the time on the wall until which it has a pause.
func (p *pauses) encode(now time.Time) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	var b bytes.Buffer
	for host, known := range p.of {
		fmt.Fprintf(&b, "%s %s\n", known.until.UTC().Format(time.RFC3339), host)
	}
	return b.Bytes()
}

// decode takes over pauses from the text of a file. What cannot be read of it is left out, and no pause is
// longer than one that begins now, wherever the clock was when the text was written.
func (p *pauses) decode(text string, now time.Time) {
	for line := range strings.Lines(text) {
		date, host, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		until, err := time.Parse(time.RFC3339, date)
		if wait := until.Sub(now.Round(0)); err == nil && host != "" && wait > 0 {
			p.set(host, now, min(wait, longestPause))
		}
	}
}

// pausesFile is where the pauses outlive a restart.
func (s *Store) pausesFile() string { return s.dir.Own("pauses") }

// readPauses takes over the pauses of the process before. Without the file there are none.
func (s *Store) readPauses() {
	f, err := os.Open(s.pausesFile())
	if err == nil {
		defer f.Close()
		var text []byte
		text, err = io.ReadAll(io.LimitReader(f, maxPausesFile))
		s.pauses.decode(string(text), time.Now())
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Error("can't read which hosts want to be left alone", "err", err)
	}
}

// writePauses writes the pauses to disk.
func (s *Store) writePauses() {
	s.pauses.writing.Lock()
	defer s.pauses.writing.Unlock()
	if err := durable.WriteFile(s.pausesFile(), s.pausesFile()+".new", s.pauses.encode(time.Now()), 0o600); err != nil {
		s.log.Error("can't write which hosts want to be left alone", "err", err)
	}
}

// PausedUntil is until when the host of origins ([origin.URL.Host]) has asked to be left alone; zero
// if it has not. A POST ends that if the host answers it.
func (s *Store) PausedUntil(host string) time.Time { return s.pauses.until(host, time.Now()) }
