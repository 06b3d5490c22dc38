package metrics

import (
	"context"
	"time"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/credential"
	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/notify"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/poll"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/webhook"
)

// Parts are what is measured.
type Parts struct {
	Life context.Context // of the looks at the storage

	Dir        *storage.Dir
	Store      *mirror.Store
	Cache      *spool.Cache // of archives and packs
	Archives   *archive.Cache
	Prefetcher *archive.Prefetcher
	Packs      *pack.Maker
	Maker      *ondemand.Maker
	Client     *cluster.Client
	Reconciler *cluster.Reconciler
	Poller     *poll.Poller
	Notifier   *notify.Notifier
	Conns      *conn.Limiter
	Logins     *credential.Source
	Room       *ondemand.Keeper

	Sent       *Sent
	Rejected   Rejected
	Deliveries *webhook.Counts
	Discovery  *discover.Runner     // nil for none
	Requests   func() limiter.Stats // requests that are at work on this server and its slaves

	Release  string     // of sould
	Git      string     // its version
	MaxNamed func() int // how many mirrors are shown by name: if there are more, none is
}

// scrape is what the metrics of one moment are read from.
type scrape struct {
	parts         *Parts
	ready         bool
	storageUsable bool
	space         *storage.Space // nil if it is not known
	store         mirror.Stats
	poll          poll.Stats
	archives      archive.Stats
	packs         pack.Stats
	maker         ondemand.Stats
	cache         spool.Stats
	conns         conn.Stats
	logins        credential.Stats
	lines         map[string]limiter.Stats
	comparisons   []cluster.Comparison
	notifications notify.Stats
	discoveries   []discover.Stats
	pulling       int
	tables        []ondemand.TableStats

	childrenRunning int64
	childrenStarted uint64

	all   allMirrors
	named []*mirror.Mirror // that are shown by name
}

// newScrape reads what is needed. On a disk that hangs it takes as long as the look at the storage
// may.
func newScrape(p *Parts) *scrape {
	now := &scrape{
		parts: p, ready: p.Store.IsReady(), storageUsable: p.Dir.Check(p.Life) == nil,
		store: p.Store.Stats(), poll: p.Poller.Stats(), archives: p.Archives.Stats(), packs: p.Packs.Stats(), maker: p.Maker.Stats(), cache: p.Cache.Stats(),
		conns: p.Conns.Stats(), logins: p.Logins.Stats(), comparisons: shown(p.Reconciler.Comparisons()), pulling: len(p.Store.Running()),
		notifications: p.Notifier.Stats(),
		tables:        p.Room.Stats(),
	}
	now.discoveries = p.Discovery.Stats()
	if space, err := p.Dir.Space(p.Life); err == nil {
		now.space = &space
	}
	now.childrenRunning, now.childrenStarted = p.Dir.Leash.Children()
	now.lines = map[string]limiter.Stats{
		"transfers": now.store.Transfers, "lists": now.store.Lists, "queries": now.store.Queries,
		"archives": now.archives.Archives, "digests": now.archives.Digest,
		"packs": now.packs.Clients, "packs_for_servers": now.packs.Peers,
		"first_reads": now.maker.Line, "requests": p.Requests(),
	}
	all := p.Store.All()
	now.all = sumUp(all)
	if len(all) <= p.MaxNamed() {
		now.named = all
	}
	return now
}

// maxServersShown is how many other servers the metrics show, and how many slaves.
const maxServersShown = 1000

func shown[T any](servers []T) []T { return servers[:min(len(servers), maxServersShown)] }

// role is what another server is for this one.
func role(c cluster.Comparison) string {
	if c.IsSlave {
		return "slave"
	}
	return "peer"
}

// oneMirror is what the metrics tell of a mirror.
type oneMirror struct {
	state   mirror.Outcome
	pulled  time.Time // zero for never
	refs    int
	size    int64
	damaged bool

	hookBroken bool
}

func measured(m *mirror.Mirror) (one oneMirror) {
	one.state, one.size = mirror.Unknown, m.Size()
	snap := m.Snapshot()
	switch {
	case snap != nil:
		one.state, one.pulled, one.refs = snap.Outcome, snap.Pulled, len(snap.Refs)
		one.hookBroken = !snap.Hook.BrokenSince().IsZero()
		one.damaged = snap.CheckError != "" && snap.Rebuilt.Before(snap.Checked)
	case m.Unreadable() != "":
		one.state = mirror.Failed
	}
	return one
}

// eachMirror calls show for each mirror that is shown by name.
func (now *scrape) eachMirror(show func(name string, one *oneMirror)) {
	for _, m := range now.named {
		one := measured(m)
		show(m.Name.String(), &one)
	}
}

// allMirrors is what the metrics tell of all mirrors together.
type allMirrors struct {
	states               map[mirror.Outcome]int
	refs, damaged        int
	hookBroken           int
	size                 int64
	oldest, oldestFailed time.Time // of the latest successful pulls; zero if there is none
}

func sumUp(mirrors []*mirror.Mirror) allMirrors {
	all := allMirrors{states: make(map[mirror.Outcome]int)}
	for _, state := range states {
		all.states[state] = 0
	}
	for _, m := range mirrors {
		all.add(measured(m))
	}
	return all
}

func (all *allMirrors) add(one oneMirror) {
	all.states[one.state]++
	all.refs += one.refs
	all.size += one.size
	if one.damaged {
		all.damaged++
	}
	if one.hookBroken {
		all.hookBroken++
	}
	if one.pulled.IsZero() {
		return
	}
	if all.oldest.IsZero() || one.pulled.Before(all.oldest) {
		all.oldest = one.pulled
	}
	if one.state == mirror.Failed && (all.oldestFailed.IsZero() || one.pulled.Before(all.oldestFailed)) {
		all.oldestFailed = one.pulled
	}
}
