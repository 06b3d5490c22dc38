package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Ahead makes archives again that clients have asked for, as soon as a pull has
// brought a newer revision, so that the first client after a push finds them
// finished. There is one worker, and it gives way to whoever waits.
type ahead struct {
	archives *Archives
	log      *slog.Logger

	mu   sync.Mutex // guards jobs
	jobs []aheadJob
	more chan struct{} // has an element when there are jobs
}

type aheadJob struct {
	set  *settings
	m    *Mirror
	snap *Snapshot
	want wanted
}

// maxJobs bounds the work ahead: what does not fit is made when it is asked for.
const maxJobs = 1000

func newAhead(archives *Archives, log *slog.Logger) *ahead {
	return &ahead{archives: archives, log: log, more: make(chan struct{}, 1)}
}

// pulled notes that a pull has changed a mirror.
func (a *ahead) pulled(set *settings, m *Mirror, before, after *Snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	moved := func(want wanted) bool {
		now, _, branch, err := after.Resolve(want.ref)
		old, _, _, oldErr := before.Resolve(want.ref)
		return err == nil && branch && (oldErr != nil || old != now)
	}
	for _, want := range m.recall(moved) {
		if len(a.jobs) < maxJobs {
			a.jobs = append(a.jobs, aheadJob{set, m, after, want})
		}
	}
	select {
	case a.more <- struct{}{}:
	default:
	}
}

// run works until ctx ends.
func (a *ahead) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.more:
		}
		for job, ok := a.next(); ok && ctx.Err() == nil; job, ok = a.next() {
			if err := a.make(ctx, job); err != nil && ctx.Err() == nil {
				a.log.Warn("can't make an archive ahead", "mirror", job.m.Name, "err", err)
			}
		}
	}
}

func (a *ahead) next() (job aheadJob, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.jobs) == 0 {
		return job, false
	}
	job, a.jobs = a.jobs[0], a.jobs[1:]
	return job, true
}

// make makes an archive, unless its revision is not the latest any more.
func (a *ahead) make(ctx context.Context, job aheadJob) error {
	id, _, _, err := job.snap.Resolve(job.want.ref)
	if err != nil {
		return err
	}
	if now, _, _, err := job.m.Snapshot().Resolve(job.want.ref); err != nil || now != id {
		return nil // the next job is about it
	}
	rev := revision{snap: job.snap, commit: id, branch: true}
	return a.archives.Ahead(ctx, job.set, job.m, job.want.archive(job.set, rev))
}

// What a mirror remembers of what clients ask for.
const (
	rememberFor = 24 * time.Hour
	maxWanted   = 16
)

// remember notes that a client has asked for something that a pull can change.
func (m *Mirror) remember(want wanted) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.wanted == nil {
		m.wanted = make(map[wanted]time.Time)
	}
	if _, known := m.wanted[want]; !known && len(m.wanted) >= maxWanted {
		oldest := want
		for w, at := range m.wanted {
			if oldest == want || at.Before(m.wanted[oldest]) {
				oldest = w
			}
		}
		delete(m.wanted, oldest)
	}
	m.wanted[want] = now
}

// recall returns what clients have asked for of late and is now another revision, and
// forgets it: what nobody asks for again is not made ahead again.
func (m *Mirror) recall(moved func(wanted) bool) []wanted {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []wanted
	for want, at := range m.wanted {
		if !moved(want) {
			continue
		}
		delete(m.wanted, want)
		if time.Since(at) < rememberFor {
			all = append(all, want)
		}
	}
	return all
}
