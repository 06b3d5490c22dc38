package archive

import (
	"context"
	"log/slog"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/prefetch"
	"github.com/reconquest/sould/internal/storage"
)

// Prefetcher makes the archives that clients ask for as soon as a pull has brought a newer revision,
// so that the first client after a push finds a finished file. It makes an archive only when no
// client waits for one.
type Prefetcher struct {
	cache *Cache
	log   *slog.Logger
	specs *prefetch.Memory[Spec, Spec]
	jobs  *prefetch.Queue[job]
}

// job is an archive that is to be made ahead.
type job struct {
	mirror *mirror.Mirror
	spec   Spec
	subst  bool
}

// Bounds of what is remembered. An archive beyond them is made when a client asks for it.
const (
	maxAsked   = 16      // specs of one mirror
	maxMirrors = 1 << 14 // mirrors of which some are remembered
)

// NewPrefetcher returns a prefetcher that makes archives in a cache. Run does the work.
func NewPrefetcher(cache *Cache, log *slog.Logger) *Prefetcher {
	return &Prefetcher{
		cache: cache, log: log,
		specs: prefetch.NewMemory[Spec, Spec](maxAsked, maxMirrors), jobs: prefetch.NewQueue[job](),
	}
}

// Asked records that a client has asked for an archive of a branch.
func (p *Prefetcher) Asked(name storage.Name, spec Spec) {
	p.specs.Asked(name.String(), spec, func() (Spec, bool) { return spec, true })
}

// Changed says that a pull has changed a mirror. It queues each archive that clients have asked for
// lately and that has another revision now, and forgets it until a client asks for it again. If
// subst is set, $Format:…$ is expanded.
func (p *Prefetcher) Changed(m *mirror.Mirror, before, after *mirror.Snapshot, subst bool) {
	stale := func(spec, _ Spec) bool { return moved(before, after, spec.Ref) }
	for _, spec := range p.specs.Take(m.Name.String(), stale) {
		p.jobs.Add(job{m, spec, subst})
	}
}

// moved reports whether a ref is a branch that a pull has moved.
func moved(before, after *mirror.Snapshot, ref string) bool {
	commit, _, branch, err := after.Resolve(ref)
	old, _, _, oldErr := before.Resolve(ref)
	return err == nil && branch && (oldErr != nil || old != commit)
}

// Waiting returns how many archives are queued.
func (p *Prefetcher) Waiting() int { return p.jobs.Len() }

// Run makes the queued archives until ctx ends.
func (p *Prefetcher) Run(ctx context.Context) {
	p.jobs.Run(ctx, func(ctx context.Context, one job) {
		if err := p.make(ctx, one); err != nil && ctx.Err() == nil {
			p.log.Warn("can't make an archive ahead", "mirror", one.mirror.Name, "err", err)
		}
	})
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
