package pack

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/prefetch"
)

// Offers are bundles of large mirrors that are made before somebody asks, so that clients can
// begin a clone with one (gitprotocol-v2(5), "bundle-uri"): a file, which a client can resume, and
// which costs no process. What is newer than the bundle comes by the protocol.
//
// Every mirror of that size gets a bundle once. It is made again when it is a day old and does not
// show the refs any more, or has left the cache, if a client has cloned since it was made: what
// nobody wants takes the place of what somebody wants only once.
type Offers struct {
	maker *Maker
	log   *slog.Logger
	from  atomic.Int64 // bytes of its packs that a mirror needs to have; 0 for none ever
	most  atomic.Int64 // bytes that it may have
	jobs  *prefetch.Queue[*mirror.Mirror]

	mu sync.Mutex // guards by
	by map[string]*offer
}

// offer is the latest bundle of a mirror. It may have left the cache.
type offer struct {
	id     string // git.BundleID
	at     time.Time
	wanted bool // by a client, since then; guarded by the mutex of Offers
}

const (
	offerAge    = 24 * time.Hour
	offerPeriod = time.Hour // between two looks at all mirrors
)

func newOffers(maker *Maker, log *slog.Logger) *Offers {
	return &Offers{maker: maker, log: log, jobs: prefetch.NewQueue[*mirror.Mirror](), by: make(map[string]*offer)}
}

// Waiting returns how many bundles are queued.
func (o *Offers) Waiting() int { return o.jobs.Len() }

// Configure sets from which size on, in bytes, a mirror's bundle is made; 0 for never. A bundle
// that would take more than half of the cache is not made.
func (o *Offers) Configure(from, cacheSize int64) {
	o.from.Store(from)
	o.most.Store(cacheSize / 2)
}

// Ready returns the id of a bundle with which a clone of the mirror may begin, or "" if there is
// none.
func (o *Offers) Ready(m *mirror.Mirror) (id string) {
	if o.from.Load() == 0 || m.Snapshot().Shallow {
		return ""
	}
	if known := o.find(m); known.id != "" && o.maker.cache.Has(bundleKey(m, known.id)) {
		return known.id
	}
	return ""
}

// Changed says that a pull has changed a mirror.
func (o *Offers) Changed(m *mirror.Mirror) {
	if o.from.Load() > 0 {
		o.jobs.Add(m)
	}
}

// Run makes what is due until ctx ends. ready is closed when all are the mirrors that there are.
func (o *Offers) Run(ctx context.Context, ready <-chan struct{}, all func() []*mirror.Mirror) {
	var scan sync.WaitGroup
	defer scan.Wait()
	scan.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-ready:
		}
		tick := time.NewTicker(offerPeriod)
		defer tick.Stop()
		for ctx.Err() == nil {
			o.scan(all())
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	o.jobs.Run(ctx, func(ctx context.Context, m *mirror.Mirror) {
		if err := o.make(ctx, m); err != nil && ctx.Err() == nil {
			o.log.Warn("can't make a bundle ahead", "mirror", m.Name, "err", err)
		}
	})
}

// scan queues the mirrors whose bundle is due, and forgets the offers of those that are gone.
func (o *Offers) scan(all []*mirror.Mirror) {
	current := make(map[string]bool, len(all))
	for _, m := range all {
		current[join(m)] = true
		if o.due(m, m.Snapshot()) {
			o.jobs.Add(m)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.by {
		if !current[key] {
			delete(o.by, key)
		}
	}
}

// make makes the bundle of a mirror if it is due.
func (o *Offers) make(ctx context.Context, m *mirror.Mirror) error {
	snap := m.Snapshot()
	if !o.due(m, snap) {
		return nil
	}
	if err := o.maker.bundleAhead(ctx, m, snap.Listing); err != nil {
		return err
	}
	o.record(m, git.BundleID(snap.Listing))
	return nil
}

// due reports whether the bundle of a mirror is to be made. One that a client had made, or
// that is from before the server was started, is as good. snap is nil as long as the mirror is not read.
func (o *Offers) due(m *mirror.Mirror, snap *mirror.Snapshot) bool {
	from, most := o.from.Load(), o.most.Load()
	if snap == nil || from == 0 || snap.Shallow || snap.IDLength() == 0 {
		return false
	}
	packs, err := m.Packs()
	if err != nil || packs.Size < from || packs.Size > most {
		return false // of the error a check finds the reason
	}
	current, known := git.BundleID(snap.Listing), o.find(m)
	if o.maker.cache.Has(bundleKey(m, current)) {
		if known.id != current {
			o.record(m, current)
		}
		return false
	}
	return known.isDue(time.Now())
}

// isDue reports whether there is to be another bundle after this one, which shows other refs or has
// left the cache.
func (f offer) isDue(now time.Time) bool {
	return f.id == "" || f.wanted && now.Sub(f.at) >= offerAge
}

// find returns the latest bundle of a mirror, if there was one.
func (o *Offers) find(m *mirror.Mirror) offer {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known := o.by[join(m)]; known != nil {
		return *known
	}
	return offer{}
}

// record takes down that a mirror has a new bundle.
func (o *Offers) record(m *mirror.Mirror, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.by[join(m)] = &offer{id: id, at: time.Now()}
}

// wanted takes down that a client clones a mirror, with its bundle or without.
func (o *Offers) wanted(m *mirror.Mirror) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known := o.by[join(m)]; known != nil {
		known.wanted = true
	}
}
