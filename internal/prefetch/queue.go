package prefetch

import (
	"context"
	"sync"
)

// maxJobs is how many jobs a queue holds. More are dropped: a client will ask for what they make.
const maxJobs = 1000

// Queue is what is to be made ahead, the oldest job first. Its methods are safe for concurrent use.
type Queue[J any] struct {
	more chan struct{} // has an element when there may be jobs

	mu   sync.Mutex // guards jobs
	jobs []J
}

// NewQueue returns an empty queue.
func NewQueue[J any]() *Queue[J] { return &Queue[J]{more: make(chan struct{}, 1)} }

// Add queues a job.
func (q *Queue[J]) Add(job J) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) < maxJobs {
		q.jobs = append(q.jobs, job)
	}
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// Len returns how many jobs are queued.
func (q *Queue[J]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs)
}

// Run does the jobs, one after the other, until ctx ends.
func (q *Queue[J]) Run(ctx context.Context, work func(ctx context.Context, job J)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.more:
		}
		for job, ok := q.next(); ok && ctx.Err() == nil; job, ok = q.next() {
			work(ctx, job)
		}
	}
}

func (q *Queue[J]) next() (job J, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		return job, false
	}
	job, q.jobs = q.jobs[0], q.jobs[1:]
	return job, true
}
