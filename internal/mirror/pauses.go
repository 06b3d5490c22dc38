package mirror

import (
	"sync"
	"time"
)

// pauses are the hosts of origins that have asked to be left alone. Readers and polls heed that for
// all mirrors of the host; a POST, by which somebody says that there is something new, does not. The
// zero value has none.
type pauses struct {
	mu sync.Mutex // guards of
	of map[string]pause
}

// pause is by the monotonic clock.
type pause struct{ asked, until time.Time }

// maxPauses is how many hosts are left alone.
const maxPauses = 4096

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
// the host has asked for the pause since.
func (p *pauses) answered(host string, asked time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.of[host]; ok && known.asked.Before(asked) {
		delete(p.of, host)
	}
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

// PausedUntil is until when the host of origins ([origin.URL.Host]) has asked to be left alone; zero
// if it has not. A POST ends that if the host answers it.
func (s *Store) PausedUntil(host string) time.Time { return s.pauses.until(host, time.Now()) }
