package pack

import (
	"context"
	"log/slog"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/prefetch"
	"github.com/reconquest/sould/internal/smarthttp"
	"github.com/reconquest/sould/internal/storage"
)

// Prefetcher makes the clones that clients ask for as soon as a pull has moved what they want: the
// jobs that start after a push find their pack finished. It makes a pack only when no client waits
// for one.
type Prefetcher struct {
	maker  *Maker
	log    *slog.Logger
	clones *prefetch.Memory[string, template] // by the digest of the request
	jobs   *prefetch.Queue[job]
}

// job is a clone that is to be made ahead.
type job struct {
	mirror *mirror.Mirror
	template
}

// Bounds of what is remembered. A pack beyond them is made when a client asks for it.
const (
	maxTemplates = 8       // clones of one mirror
	maxMirrors   = 1 << 12 // mirrors of which some are remembered
)

func newPrefetcher(maker *Maker, log *slog.Logger) *Prefetcher {
	return &Prefetcher{
		maker: maker, log: log,
		clones: prefetch.NewMemory[string, template](maxTemplates, maxMirrors), jobs: prefetch.NewQueue[job](),
	}
}

// asked records that a client has sent a request.
func (p *Prefetcher) asked(name storage.Name, snap *mirror.Snapshot, fetch smarthttp.Fetch) {
	p.clones.Asked(name.String(), fetch.Digest(), func() (template, bool) { return newTemplate(snap, fetch) })
}

// Changed says that a pull has changed a mirror. It queues each clone that clients have asked for
// lately and that wants something else now, and forgets it until a client asks for it again.
func (p *Prefetcher) Changed(m *mirror.Mirror, after *mirror.Snapshot) {
	moved := func(digest string, t template) bool {
		wants := t.wants(after)
		return wants == nil || t.fetch.Wanting(wants).Digest() != digest
	}
	for _, t := range p.clones.Take(m.Name.String(), moved) {
		p.jobs.Add(job{m, t})
	}
}

// Waiting returns how many packs are queued.
func (p *Prefetcher) Waiting() int { return p.jobs.Len() }

// Run makes the queued packs until ctx ends.
func (p *Prefetcher) Run(ctx context.Context) {
	p.jobs.Run(ctx, func(ctx context.Context, one job) {
		if err := p.make(ctx, one); err != nil && ctx.Err() == nil {
			p.log.Warn("can't make a pack ahead", "mirror", one.mirror.Name, "err", err)
		}
	})
}

// make makes a pack of what the refs name now, which may be more than when the job was queued.
func (p *Prefetcher) make(ctx context.Context, one job) error {
	wants := one.wants(one.mirror.Snapshot())
	if wants == nil {
		return nil
	}
	return p.maker.getNew(ctx, one.mirror, one.fetch.Wanting(wants))
}
