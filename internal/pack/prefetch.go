package pack

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/storage"
)

// Prefetcher remembers which clones clients ask for, and makes them as soon as a pull has moved what
// they want: the jobs that start after a push find their pack finished. Run is the only worker, and
// makes a pack only when no client waits for one.
type Prefetcher struct {
	maker *Maker
	log   *slog.Logger
	more  chan struct{} // has an element when there are jobs

	mu     sync.Mutex                         // guards all below
	clones map[storage.Name]map[string]*clone // by digest of the request
	jobs   []job
}

// clone is a clone that a client has asked for.
type clone struct {
	template
	at time.Time // when a client asked for it last
}

// job is a clone that is to be made ahead.
type job struct {
	mirror *mirror.Mirror
	template
}

// Bounds of the memory of clients' requests, and of the queue. A pack beyond them is made when a
// client asks for it.
const (
	cloneMemory  = 24 * time.Hour // how long a request is remembered
	maxTemplates = 8              // requests of one mirror
	maxMirrors   = 1 << 12        // mirrors of which requests are remembered
	maxJobs      = 1000
)

func newPrefetcher(maker *Maker, log *slog.Logger) *Prefetcher {
	return &Prefetcher{maker: maker, log: log, more: make(chan struct{}, 1), clones: make(map[storage.Name]map[string]*clone)}
}

// asked records that a client has sent a request.
func (p *Prefetcher) asked(name storage.Name, snap *mirror.Snapshot, fetch smarthttp.Fetch) {
	digest := fetch.Digest()
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.clones[name][digest]; known != nil {
		known.at = time.Now()
		return
	}
	t, ok := newTemplate(snap, fetch)
	if !ok {
		return
	}
	clones := p.clones[name]
	if clones == nil {
		if len(p.clones) >= maxMirrors {
			clear(p.clones)
		}
		clones = make(map[string]*clone)
		p.clones[name] = clones
	}
	if len(clones) >= maxTemplates {
		delete(clones, oldest(clones))
	}
	clones[digest] = &clone{t, time.Now()}
}

func oldest(clones map[string]*clone) (found string) {
	for digest, c := range clones {
		if found == "" || c.at.Before(clones[found].at) {
			found = digest
		}
	}
	return found
}

// Changed says that a pull has changed a mirror. It queues each clone that clients have asked for
// lately and that wants something else now, and forgets it until a client asks for it again.
func (p *Prefetcher) Changed(m *mirror.Mirror, after *mirror.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for digest, c := range p.clones[m.Name] {
		wants := c.wants(after)
		if wants != nil && c.fetch.Wanting(wants).Digest() == digest {
			continue
		}
		delete(p.clones[m.Name], digest)
		if wants != nil && time.Since(c.at) < cloneMemory && len(p.jobs) < maxJobs {
			p.jobs = append(p.jobs, job{m, c.template})
		}
	}
	if len(p.clones[m.Name]) == 0 {
		delete(p.clones, m.Name)
	}
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// Run makes the queued packs until ctx ends.
func (p *Prefetcher) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.more:
		}
		for one, ok := p.next(); ok && ctx.Err() == nil; one, ok = p.next() {
			if err := p.make(ctx, one); err != nil && ctx.Err() == nil {
				p.log.Warn("can't make a pack ahead", "mirror", one.mirror.Name, "err", err)
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

// make makes a pack of what the refs name now, which may be more than when the job was queued.
func (p *Prefetcher) make(ctx context.Context, one job) error {
	wants := one.wants(one.mirror.Snapshot())
	if wants == nil {
		return nil
	}
	return p.maker.getNew(ctx, one.mirror, one.fetch.Wanting(wants))
}
