package housekeeping

import (
	"context"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/storage"
)

// queue is a list of mirrors that may need to be repacked, and the pauses of those where it
// did not work out.
type queue struct {
	more chan struct{} // has an element when jobs have changed

	mu     sync.Mutex // guards all below
	jobs   map[storage.Name]job
	pauses map[storage.Name]*backoff.Backoff
}

// job is a mirror that may need to be repacked.
type job struct {
	at   time.Time // not before
	owed bool      // there was only time for an incremental one
}

// maxRepacks is how many are on a list; what does not fit is found by a later look.
const maxRepacks = 1000

func newQueue() *queue {
	return &queue{more: make(chan struct{}, 1), jobs: make(map[storage.Name]job), pauses: make(map[storage.Name]*backoff.Backoff)}
}

// add puts a mirror on the list, or changes when its turn is. In a pause it is not before
// the pause is over.
func (q *queue) add(name storage.Name, one job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	old, known := q.jobs[name]
	if !known && len(q.jobs) >= maxRepacks {
		return
	}
	one.owed = one.owed || old.owed
	if pause := q.pauses[name]; pause != nil && pause.Until.After(one.at) {
		one.at = pause.Until
	}
	q.jobs[name] = one
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// postpone changes when the turn is of a mirror that is on the list.
func (q *queue) postpone(name storage.Name, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if one, known := q.jobs[name]; known && at.After(one.at) {
		one.at = at
		q.jobs[name] = one
	}
}

// pause has a mirror left alone for a time, which grows from base with each pause that
// follows another one.
func (q *queue) pause(name storage.Name, now time.Time, base time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pauses) >= maxRepacks {
		clear(q.pauses)
	}
	if q.pauses[name] == nil {
		q.pauses[name] = new(backoff.Backoff)
	}
	q.pauses[name].Fail(now, base)
}

// done forgets a mirror's pauses.
func (q *queue) done(name storage.Name) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.pauses, name)
}

// next takes the job off the list whose time has come first, or returns how long it is
// until one does.
func (q *queue) next(now time.Time) (name storage.Name, one job, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait = time.Hour
	for n, j := range q.jobs {
		if left := j.at.Sub(now); left < wait {
			name, one, wait = n, j, left
		}
	}
	if wait <= 0 {
		delete(q.jobs, name)
	}
	return name, one, wait
}

// run works on the list until ctx ends.
func (q *queue) run(ctx context.Context, work func(context.Context, storage.Name, job)) {
	for ctx.Err() == nil {
		name, one, wait := q.next(time.Now())
		if wait <= 0 {
			work(ctx, name, one)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-q.more:
		case <-timer.C:
		}
		timer.Stop()
	}
}
