package poll

import (
	"container/heap"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/origin"
	"github.com/reconquest/sould/internal/storage"
)

// subject is a mirror that is to be looked at.
type subject struct {
	name   storage.Name
	origin origin.URL
	every  time.Duration // the interval, more than 0
	gone   bool          // the origin is said to be deleted
}

// ending is how a look has ended.
type ending int

const (
	unknown  ending = iota // it could not be done, and says nothing about the origin
	answered               // the origin has told its refs, or did so a moment ago
	failed                 // because of the mirror or its origin
	down                   // because of the origin's host
)

// outcome is what a look says about further looks.
type outcome struct {
	ending
	changed time.Time // when the mirror's refs last changed, by the clock on the wall; zero if that is not known
	asked   asked     // what is known of requests for the mirror
}

// planner decides who is looked at next. It knows no clock: each method is told the time, which must
// not go back. It is not safe for concurrent use.
type planner struct {
	paused func(host string) time.Time // until when a host has asked to be left alone; zero if it has not
	places int                         // looks at once
	from   time.Time                   // where the moments of all mirrors are counted from

	running int
	entries map[storage.Name]*entry
	hosts   map[string]*host
	queue   queue    // entries that wait for their moment
	ready   []*entry // whose moment has come, and which have a place at their host
}

const (
	// hostPlaces is how many looks there are at one host at the same time.
	hostPlaces = 2

	// downPause is the pause after a look has found a host to be down, if the interval is not shorter.
	// It doubles with each further failure.
	downPause = 30 * time.Second
)

// entry is what is known of a mirror. It is in the queue, in ready, in its host's waiting, or it is
// being looked at.
type entry struct {
	subject
	phase    phase
	host     *host
	due      time.Time
	index    int // in the queue; -1 if it is not there
	changed  time.Time
	failures int // looks in a row
	asked    asked
	removed  bool // from the planner, which may still have it in a list
}

// host is what mirrors with origins at one place share.
type host struct {
	name    string
	mirrors int
	taken   int             // places, by looks that run and by entries in ready
	trouble backoff.Backoff // of a host that is down
	waiting []*entry        // whose moment has come
}

// job is a look that is to be done.
type job struct {
	name  storage.Name
	every time.Duration
	gone  bool
	asked asked // at the look before
	entry *entry
}

// newPlanner returns a planner without subjects. The moments of mirrors are counted from 1970 on, so that a restart
// does not change them: else a daemon that is restarted often would never come to the later ones.
func newPlanner(now time.Time, paused func(host string) time.Time) *planner {
	from := now.Add(-time.Duration(now.UnixNano()))
	return &planner{paused: paused, from: from, entries: make(map[storage.Name]*entry), hosts: make(map[string]*host)}
}

// sync makes the subjects those that are looked at, and no others.
func (p *planner) sync(now time.Time, subjects []subject) {
	known := make(map[storage.Name]bool, len(subjects))
	for _, s := range subjects {
		known[s.name] = true
		e := p.entries[s.name]
		switch {
		case e == nil:
			p.add(now, s)
		case !e.origin.Same(s.origin):
			p.remove(e)
			p.add(now, s)
		case e.every != s.every || e.gone != s.gone:
			e.subject = s
			if e.index >= 0 {
				p.schedule(e, now, now)
			}
		}
	}
	for name, e := range p.entries {
		if !known[name] {
			p.remove(e)
		}
	}
}

func (p *planner) add(now time.Time, s subject) {
	name := s.origin.Host()
	h := p.hosts[name]
	if h == nil {
		h = &host{name: name}
		p.hosts[name] = h
	}
	h.mirrors++
	e := &entry{subject: s, phase: phaseOf(s.name), host: h, index: -1}
	p.entries[s.name] = e
	p.schedule(e, now, now)
}

func (p *planner) remove(e *entry) {
	e.removed = true
	delete(p.entries, e.name)
	if e.index >= 0 {
		heap.Remove(&p.queue, e.index)
	}
	if e.host.mirrors--; e.host.mirrors == 0 { // those who have it finish with it
		delete(p.hosts, e.host.name)
	}
}

// period is the time between two looks at the mirror now.
func (e *entry) period(now time.Time) time.Duration {
	return period(e.every, ageOf(e.changed, now), e.failures, e.gone)
}

// schedule puts an entry into the queue, or moves it there: at its first moment not before a time.
func (p *planner) schedule(e *entry, now, notBefore time.Time) {
	p.enqueue(e, moment(e.phase, e.period(now), p.from, notBefore))
}

// postpone puts an entry into the queue that could not be looked at because of its host, which may answer
// again before it has said: a POST finds that out.
func (p *planner) postpone(e *entry, now time.Time) {
	p.enqueue(e, moment(e.phase, e.every, p.from, now.Add(e.every/2)))
}

func (p *planner) enqueue(e *entry, due time.Time) {
	e.due = due
	if e.index >= 0 {
		heap.Fix(&p.queue, e.index)
	} else {
		heap.Push(&p.queue, e)
	}
}

// next returns the next look that is to be done now, or nil if there is none. It is to be ended by
// done.
func (p *planner) next(now time.Time) *job {
	for p.running < p.places {
		e := p.pop(now)
		if e == nil {
			return nil
		}
		if blocked := p.blocked(e.host).After(now); blocked || e.removed {
			if e.host.taken--; !e.removed {
				p.postpone(e, now)
			}
			p.admit(e.host, now)
			continue
		}
		p.running++
		return &job{name: e.name, every: e.every, gone: e.gone, asked: e.asked, entry: e}
	}
	return nil
}

// pop returns the next entry whose moment has come and which has a place at its host, or nil.
func (p *planner) pop(now time.Time) *entry {
	for len(p.ready) == 0 {
		if len(p.queue) == 0 || p.queue[0].due.After(now) {
			return nil
		}
		e := heap.Pop(&p.queue).(*entry)
		e.host.waiting = append(e.host.waiting, e)
		p.admit(e.host, now)
	}
	e := p.ready[0]
	p.ready = slices.Delete(p.ready, 0, 1)
	return e
}

// admit gives free places of a host to the entries that wait for them. If the host must be left alone,
// they are postponed.
func (p *planner) admit(h *host, now time.Time) {
	blocked := p.blocked(h).After(now)
	for len(h.waiting) > 0 && (blocked || h.taken < h.places()) {
		e := h.waiting[0]
		h.waiting = h.waiting[1:]
		switch {
		case e.removed:
		case blocked:
			p.postpone(e, now)
		default:
			h.taken++
			p.ready = append(p.ready, e)
		}
	}
}

// blocked is until when a host must be left alone; zero or a time in the past if it need not.
func (p *planner) blocked(h *host) time.Time {
	until := p.paused(h.name)
	if h.trouble.Until.After(until) {
		until = h.trouble.Until
	}
	return until
}

// places is how many looks there may be at a host.
func (h *host) places() int {
	if h.trouble.Wait > 0 {
		return 1
	}
	return hostPlaces
}

// done ends a look.
func (p *planner) done(now time.Time, j *job, o outcome) {
	e, h := j.entry, j.entry.host
	p.running--
	h.taken--
	switch o.ending {
	case down:
		if h.trouble.Ready(now) { // else another look has found that just before
			h.trouble.Fail(now, min(downPause, e.every))
		}
	case answered:
		h.trouble.Reset()
		e.failures = 0
	case failed:
		e.failures++
	}
	if !e.removed {
		if e.asked = o.asked; !o.changed.IsZero() {
			e.changed = o.changed
		}
		// Moments that are nearer than half of the period have been used by this look.
		p.schedule(e, now, now.Add(e.period(now)/2))
	}
	p.admit(h, now)
}

// wake is when next may have something new to say if nobody else calls a method; zero for never.
func (p *planner) wake() time.Time {
	switch {
	case p.running >= p.places:
		return time.Time{}
	case len(p.ready) > 0:
		return p.ready[0].due
	case len(p.queue) > 0:
		return p.queue[0].due
	default:
		return time.Time{}
	}
}

// late is how long the look waits that has been due for the longest time.
func (p *planner) late(now time.Time) time.Duration {
	first := now
	see := func(all []*entry) {
		for _, e := range all[:min(len(all), 1)] { // they are sorted, or nearly
			if e.due.Before(first) {
				first = e.due
			}
		}
	}
	see(p.ready)
	see(p.queue)
	for _, h := range p.hosts {
		see(h.waiting)
	}
	return now.Sub(first)
}

// down counts the hosts that do not answer.
func (p *planner) down() (n int) {
	for _, h := range p.hosts {
		if h.trouble.Wait > 0 {
			n++
		}
	}
	return n
}

// queue is a heap of entries by the time when they are due.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push and Pop are for package heap.
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.index = -1
	return e
}
