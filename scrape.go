package main

import (
	"time"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/limiter"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/storage"
)

// scrape is what the metrics of one moment are read from.
type scrape struct {
	server        *Server
	ready         bool
	storageUsable bool
	space         *storage.Space // nil if it is not known
	store         mirror.Stats
	archives      archive.Stats
	packs         pack.Stats
	cache         spool.Stats
	conns         conn.Stats
	lines         map[string]limiter.Stats
	comparisons   []cluster.Comparison
	pulling       int

	childrenRunning int64
	childrenStarted uint64

	all   allMirrors
	named []*mirror.Mirror // that are shown by name
}

// newScrape reads what is needed. On a disk that hangs it takes as long as the look at the storage
// may.
func newScrape(s *Server) *scrape {
	ms := s.mirrors
	now := &scrape{
		server: s, ready: ms.store.IsReady(), storageUsable: s.dir.Check(s.life) == nil,
		store: ms.store.Stats(), archives: ms.archives.Stats(), packs: ms.packs.Stats(), cache: ms.cache.Stats(),
		conns: s.conns.Stats(), comparisons: shown(ms.reconciler.Comparisons()), pulling: len(ms.store.Running()),
	}
	if space, err := s.dir.Space(s.life); err == nil {
		now.space = &space
	}
	now.childrenRunning, now.childrenStarted = s.dir.Leash.Children()
	set := s.settings()
	now.lines = map[string]limiter.Stats{
		"transfers": now.store.Transfers, "lists": now.store.Lists, "queries": now.store.Queries,
		"archives": now.archives.Archives, "digests": now.archives.Digest,
		"packs": now.packs.Clients, "packs_for_servers": now.packs.Peers,
		"requests": {Places: int(propagationBound(len(set.Slaves))), Taken: int(s.places.taken.Load())},
	}
	all := ms.store.All()
	now.all = sumUp(all)
	if len(all) <= set.MetricsMirrors {
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

// maxMetricsMirrors is the largest value of metrics_mirrors.
const maxMetricsMirrors = 10_000

// oneMirror is what the metrics tell of a mirror.
type oneMirror struct {
	state   mirror.Outcome
	pulled  time.Time // zero for never
	refs    int
	size    int64
	damaged bool
}

func measured(m *mirror.Mirror) (one oneMirror) {
	one.state, one.size = mirror.Unknown, m.Size()
	snap := m.Snapshot()
	switch {
	case snap != nil:
		one.state, one.pulled, one.refs = snap.Outcome, snap.Pulled, len(snap.Refs)
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
