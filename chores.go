package main

import (
	"context"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/storage"
)

// chores is a list of mirrors that may have something to be done about them, and the
// pauses of those where it did not work out.
type chores struct {
	more chan struct{} // has an element when jobs have changed

	mu     sync.Mutex // guards all below
	jobs   map[storage.Name]choreJob
	pauses map[storage.Name]*backoff.Backoff
}

// choreJob is a mirror that may have a chore.
type choreJob struct {
	at   time.Time // not before
	owed bool      // there was only time for a quick one
}

// maxChores is how many are on a list; what does not fit is found by a later look.
const maxChores = 1000

func newChores() *chores {
	return &chores{more: make(chan struct{}, 1), jobs: make(map[storage.Name]choreJob), pauses: make(map[storage.Name]*backoff.Backoff)}
}

// note puts a mirror on the list, or changes when its turn is. In a pause it is not before
// the pause is over.
func (c *chores) note(name storage.Name, job choreJob) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, known := c.jobs[name]
	if !known && len(c.jobs) >= maxChores {
		return
	}
	job.owed = job.owed || old.owed
	if pause := c.pauses[name]; pause != nil {
		job.at = later(job.at, pause.Until)
	}
	c.jobs[name] = job
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// postpone changes when the turn is of a mirror that is on the list.
func (c *chores) postpone(name storage.Name, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if job, known := c.jobs[name]; known {
		job.at = later(job.at, at)
		c.jobs[name] = job
	}
}

// pause has a mirror left alone for a time, which grows from base with each pause that
// follows another one.
func (c *chores) pause(name storage.Name, now time.Time, base time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pauses) >= maxChores {
		clear(c.pauses)
	}
	if c.pauses[name] == nil {
		c.pauses[name] = new(backoff.Backoff)
	}
	c.pauses[name].Fail(now, base)
}

// done forgets a mirror's pauses.
func (c *chores) done(name storage.Name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pauses, name)
}

// next takes the job off the list whose time has come first, or returns how long it is
// until one does.
func (c *chores) next(now time.Time) (name storage.Name, job choreJob, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait = time.Hour
	for n, j := range c.jobs {
		if left := j.at.Sub(now); left < wait {
			name, job, wait = n, j, left
		}
	}
	if wait <= 0 {
		delete(c.jobs, name)
	}
	return name, job, wait
}

// run works on the list until ctx ends.
func (c *chores) run(ctx context.Context, work func(context.Context, storage.Name, choreJob)) {
	for ctx.Err() == nil {
		name, job, wait := c.next(time.Now())
		if wait <= 0 {
			work(ctx, name, job)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-c.more:
		case <-timer.C:
		}
		timer.Stop()
	}
}
