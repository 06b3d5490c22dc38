package archive

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// Prefetcher remembers which archives clients ask for, and makes them as soon as a pull has brought
// a newer revision, so that the first client after a push finds a finished file. Run is the only
// worker, and makes an archive only when no client waits for one.
type Prefetcher struct {
	cache *Cache
	log   *slog.Logger
	more  chan struct{} // has an element when there are jobs

	mu    sync.Mutex                          // guards all below
	asked map[storage.Name]map[Spec]time.Time // when a client last asked for it
	jobs  []job
}

// job is an archive that is to be made ahead.
type job struct {
	mirror *mirror.Mirror
	spec   Spec
	subst  bool
}

// Bounds of the memory of clients' requests, and of the queue. An archive beyond them is made when a
// client asks for it.
const (
	askedFor   = 24 * time.Hour // how long a request is remembered
	maxAsked   = 16             // specs of one mirror
	maxMirrors = 1 << 14        // mirrors of which requests are remembered
	maxJobs    = 1000
)

// rememberEvery is how precisely the time is remembered at which clients have asked for an archive.
const rememberEvery = time.Minute

// NewPrefetcher returns a prefetcher that makes archives in a cache. Run does the work.
func NewPrefetcher(cache *Cache, log *slog.Logger) *Prefetcher {
	return &Prefetcher{
		cache: cache, log: log, more: make(chan struct{}, 1), asked: make(map[storage.Name]map[Spec]time.Time),
	}
}

// Asked records that a client has asked for an archive of a branch.
func (p *Prefetcher) Asked(name storage.Name, spec Spec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	specs := p.asked[name]
	if specs == nil {
		if len(p.asked) >= maxMirrors {
			clear(p.asked)
		}
		specs = make(map[Spec]time.Time)
		p.asked[name] = specs
	}
	now := time.Now()
	at, known := specs[spec]
	switch {
	case known && now.Sub(at) < rememberEvery:
		return
	case !known && len(specs) >= maxAsked:
		delete(specs, oldest(specs))
	}
	specs[spec] = now
}

func oldest(specs map[Spec]time.Time) (found Spec) {
	var first time.Time
	for spec, at := range specs {
		if first.IsZero() || at.Before(first) {
			found, first = spec, at
		}
	}
	return found
}

// Changed says that a pull has changed a mirror. It queues each archive that clients have asked for
// lately and that has another revision now, and forgets it until a client asks for it again. If
// subst is set, $Format:…$ is expanded.
func (p *Prefetcher) Changed(m *mirror.Mirror, before, after *mirror.Snapshot, subst bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for spec, at := range p.asked[m.Name] {
		if !moved(before, after, spec.Ref) {
			continue
		}
		delete(p.asked[m.Name], spec)
		if time.Since(at) < askedFor && len(p.jobs) < maxJobs {
			p.jobs = append(p.jobs, job{m, spec, subst})
		}
	}
	if len(p.asked[m.Name]) == 0 {
		delete(p.asked, m.Name)
	}
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// moved reports whether a ref is a branch that a pull has moved.
func moved(before, after *mirror.Snapshot, ref string) bool {
	commit, _, branch, err := after.Resolve(ref)
	old, _, _, oldErr := before.Resolve(ref)
	return err == nil && branch && (oldErr != nil || old != commit)
}

// Run makes the queued archives until ctx ends.
func (p *Prefetcher) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.more:
		}
		for one, ok := p.next(); ok && ctx.Err() == nil; one, ok = p.next() {
			if err := p.make(ctx, one); err != nil && ctx.Err() == nil {
				p.log.Warn("can't make an archive ahead", "mirror", one.mirror.Name, "err", err)
			}
		}
	}
}

func (p *Prefetcher) next() (one job, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.jobs) == 0 {
		return one, false
	}
	one, p.jobs = p.jobs[0], p.jobs[1:]
	return one, true
}

// make makes an archive of what the branch is now: a later pull may have moved it again.
func (p *Prefetcher) make(ctx context.Context, one job) error {
	snap := one.mirror.Snapshot()
	commit, _, branch, err := snap.Resolve(one.spec.Ref)
	if err != nil || !branch {
		return nil
	}
	return p.cache.makeIdle(ctx, one.mirror, one.spec.Of(Revision{Snapshot: snap, Commit: commit, Branch: true}, one.subst))
}
