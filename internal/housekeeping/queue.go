package housekeeping

import (
	"context"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/storage"
)

// queue has the mirrors that may need to be repacked, and the pauses of those whose repacks have
// failed.
type queue struct {
	wake chan struct{} // has an element when jobs have changed

	mu     sync.Mutex // guards all below
	jobs   map[storage.Name]job
	pauses map[storage.Name]*backoff.Backoff
}

// job is a mirror that may need to be repacked.
type job struct {
	at         time.Time // when it is due
	unfinished bool      // an incremental repack was done, which is not enough
}

// maxRepacks is how many jobs, and how many pauses, a queue has. A later scan finds the mirrors
// that do not fit.
const maxRepacks = 1000

func newQueue() *queue {
	return &queue{wake: make(chan struct{}, 1), jobs: make(map[storage.Name]job), pauses: make(map[storage.Name]*backoff.Backoff)}
}

// add puts a mirror on the queue, or changes when its job is due: not before its pause is over.
func (q *queue) add(name storage.Name, j job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	old, known := q.jobs[name]
	if !known && len(q.jobs) >= maxRepacks {
		return
	}
	j.unfinished = j.unfinished || old.unfinished
	if pause := q.pauses[name]; pause != nil && pause.Until.After(j.at) {
		j.at = pause.Until
	}
	q.jobs[name] = j
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// postpone makes a mirror's job, if there is one, due no earlier than at.
func (q *queue) postpone(name storage.Name, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j, known := q.jobs[name]; known && at.After(j.at) {
		j.at = at
		q.jobs[name] = j
	}
}

// pause makes new jobs of a mirror wait. The first pause takes base; each further one, until done
// is called, takes longer.
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

// done ends a mirror's pauses.
func (q *queue) done(name storage.Name) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.pauses, name)
}

// next takes the job off the queue that has been due for the longest time; wait is then at most
// 0. If none is due, it only returns how long to wait.
func (q *queue) next(now time.Time) (name storage.Name, j job, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait = time.Hour
	for n, other := range q.jobs {
		if left := other.at.Sub(now); left < wait {
			name, j, wait = n, other, left
		}
	}
	if wait <= 0 {
		delete(q.jobs, name)
	}
	return name, j, wait
}

// run works on the queue until ctx ends.
func (q *queue) run(ctx context.Context, work func(context.Context, storage.Name, job)) {
	for ctx.Err() == nil {
		name, j, wait := q.next(time.Now())
		if wait <= 0 {
			work(ctx, name, j)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}
