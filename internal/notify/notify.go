// Package notify tells others of changes: once all servers have what a mirror has become, it sends a
// signed POST to each URL of the configuration.
//
// What a target was told last is a file (ledger), as is what is on its way to it. So nothing is lost when
// the server ends at any moment: the next start compares what was told with what is there. What happens to
// one mirror, for one target:
//
//	a pull changes it ──▶ unsure ──▶ all servers have it ──▶ on its way ──▶ told
//	                        ▲  │                              │  ▲
//	                        └──┘ asked again after a pause     └──┘ sent again after a pause
//
// A delivery that is on its way never changes, so that its id stands for the same words however often it is
// sent. What changes meanwhile is one further delivery, from what the first has told to the latest that
// all servers have: there are never more than two, and they arrive in order. Targets do not wait for each
// other, and neither do mirrors.
//
//	notify.go     which mirrors have changed, and whether all servers have it
//	confirm.go    when that is so (pure)
//	teller.go     one target: what is on its way to it
//	files.go      its ledgers on disk
//	send.go       one delivery, and what its answer means
//	ledger.go     what a target was told of a mirror (pure), and its file
//	message.go    what is sent (pure)
//	target.go     a URL of the configuration
package notify

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/reconquest/sould/internal/backoff"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// Notifier tells all targets of changes. Its methods are safe for concurrent use.
type Notifier struct {
	dir    *storage.Dir
	store  *mirror.Store
	client *cluster.Client
	log    *slog.Logger
	kick   chan struct{} // has an element when there may be something to do

	mu      sync.Mutex // guards all below
	options *Options
	unsure  map[string]*unsure
	tellers []*teller // of the targets that are told; in the order of the configuration
}

// New returns a notifier, which works as soon as it Runs.
func New(dir *storage.Dir, store *mirror.Store, client *cluster.Client, log *slog.Logger, options *Options) *Notifier {
	return &Notifier{
		dir: dir, store: store, client: client, log: log, options: options,
		kick: make(chan struct{}, 1), unsure: make(map[string]*unsure),
	}
}

// Configure puts options in force.
func (n *Notifier) Configure(options *Options) {
	n.mu.Lock()
	n.options = options
	n.mu.Unlock()
	wake(n.kick)
}

func wake(kick chan struct{}) {
	select {
	case kick <- struct{}{}:
	default:
	}
}

// Changed is told of every pull that has changed a mirror. Of a mirror that is new, before is nil.
func (n *Notifier) Changed(m *mirror.Mirror, before, after *mirror.Snapshot) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.options.Targets) == 0 {
		return
	}
	u := n.doubt(m.Name)
	first := len(u.states) == 0
	if first {
		u.before, u.isNew = before, before == nil
	}
	n.ask(u, first, after.OnDemand)
	u.become(after)
}

// Removed is told of every mirror that was removed because somebody has asked for that at a time. Those that reads
// have made go by themselves without it: the next read makes them again.
func (n *Notifier) Removed(name storage.Name, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.options.Targets) == 0 {
		return
	}
	u := n.doubt(name)
	n.ask(u, u.removed.IsZero(), false)
	u.remove(at)
}

// ask has the other servers asked for a mirror: not later than before, however often it changes, unless there was
// nothing to ask. own is whether it is this server's alone. n.mu is held.
func (n *Notifier) ask(u *unsure, first, own bool) {
	var due time.Time
	if n.options.Slaves && !own {
		due = time.Now().Add(firstPause)
	}
	if first || u.waits.Until.After(due) {
		u.waits = backoff.Backoff{Until: due}
	}
	wake(n.kick)
}

// doubt returns what is known of a mirror that all servers may not have as it is here. n.mu is held.
func (n *Notifier) doubt(name storage.Name) *unsure {
	u := n.unsure[name.String()]
	if u == nil {
		u = &unsure{name: name}
		n.unsure[name.String()] = u
	}
	return u
}

// Settled is told when other servers may have caught up with a mirror.
func (n *Notifier) Settled(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if u := n.unsure[name]; u != nil {
		u.settled++
		u.waits.Reset()
		wake(n.kick)
	}
}

// Run tells the targets until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	select {
	case <-n.store.Ready():
	case <-ctx.Done():
		return
	}
	var current *Options
	stop := func() {}
	defer func() { stop() }()
	for ctx.Err() == nil {
		n.mu.Lock()
		options := n.options
		n.mu.Unlock()
		if options != current {
			stop()
			stop = n.start(ctx, options)
			current = options
		}
		timer := time.NewTimer(n.confirm(ctx, options))
		select {
		case <-n.kick:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// start starts to tell the targets that options name, until stop is called, and forgets what others were
// told.
func (n *Notifier) start(ctx context.Context, options *Options) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var tellers []*teller
	var running sync.WaitGroup
	transport := newTransport(options)
	for _, target := range options.Targets {
		t := newTeller(n, target, options, transport)
		if old := slices.IndexFunc(n.tellers, func(old *teller) bool { return old.target.Same(target) }); old >= 0 {
			t.counts, t.first = n.tellers[old].counts, n.tellers[old].first
		}
		differs, removed, err := t.open(ctx)
		if err != nil {
			n.log.Error("can't read what a URL was told", "url", target, "err", err)
			t.opening.Fail(time.Now(), t.retry())
		}
		n.doubtAll(differs)
		n.doubtRemoved(removed)
		tellers = append(tellers, t)
		running.Go(func() { t.run(ctx) })
	}
	n.forgetOthers(options.Targets)
	n.mu.Lock()
	n.tellers = tellers
	n.mu.Unlock()
	return func() {
		cancel()
		running.Wait()
		transport.CloseIdleConnections()
	}
}

// doubtAll has mirrors told of that are not as a target was told, as soon as all servers have them so.
func (n *Notifier) doubtAll(mirrors []*mirror.Mirror) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range mirrors {
		if u := n.doubt(m.Name); len(u.states) == 0 {
			u.before = m.Snapshot()
			u.become(m.Snapshot())
		}
	}
}

// doubtRemoved has mirrors told of that were removed, and of which a target was not told that, as soon as no server has
// them.
func (n *Notifier) doubtRemoved(names []storage.Name) {
	for _, name := range names {
		at, deleted := n.store.DeletedAt(name)
		if !deleted {
			continue
		}
		n.mu.Lock()
		if u := n.doubt(name); len(u.states) == 0 {
			u.remove(at)
		}
		n.mu.Unlock()
	}
}

// forgetOthers removes the ledgers of targets that are named no more.
func (n *Notifier) forgetOthers(targets []Target) {
	entries, err := os.ReadDir(n.place())
	if err != nil || n.dir.CheckOwned() != nil {
		return // there are none
	}
	for _, entry := range entries {
		if slices.ContainsFunc(targets, func(t Target) bool { return t.key == entry.Name() }) {
			continue
		}
		n.log.Info("forgetting what a URL was told that notify names no more", "directory", entry.Name())
		if err := os.RemoveAll(filepath.Join(n.place(), entry.Name())); err != nil {
			n.log.Error("can't remove what a URL was told", "err", err)
		}
	}
}

func (n *Notifier) place() string { return n.dir.Own("notify") }

// confirm asks the other servers for the mirrors of which it is time to, and tells the targets of those
// that all have. It returns the time until the next one is due.
func (n *Notifier) confirm(ctx context.Context, options *Options) time.Duration {
	var asking errgroup.Group
	asking.SetLimit(maxAsking)
	for _, name := range n.due(time.Now()) {
		asking.Go(func() error {
			n.confirmOne(ctx, options, name)
			return nil
		})
	}
	_ = asking.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	pause := time.Hour
	for _, u := range n.unsure {
		pause = min(pause, time.Until(u.waits.Until))
	}
	return max(pause, 0)
}

// due are the names of the mirrors of which the other servers are to be asked now, those that have waited
// longest first, and no more than a round may have: what has just changed must not wait for thousands whose
// slave does not answer.
func (n *Notifier) due(now time.Time) (names []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, u := range n.unsure {
		if u.waits.Ready(now) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return n.unsure[a].waits.Until.Compare(n.unsure[b].waits.Until) })
	return names[:min(len(names), maxRound)]
}

// confirmOne tells the targets of a mirror if it is on all servers as it is here.
func (n *Notifier) confirmOne(ctx context.Context, options *Options, name string) {
	n.mu.Lock()
	u := n.unsure[name]
	known, settled, tellers := unsure{name: u.name, states: slices.Clone(u.states), removed: u.removed}, u.settled, n.tellers
	n.mu.Unlock()
	told, over := n.agreed(ctx, options, known)
	if told != nil {
		for _, t := range tellers {
			t.tell(*told)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case told != nil && u.settle(*told), over && u.isLike(known):
		delete(n.unsure, name)
	case u.settled == settled:
		u.waits.Fail(time.Now(), firstPause)
	}
}

// agreed is what is so on all servers of a mirror, or nil if that is not known. over is whether there is nothing to tell
// of it any more.
func (n *Notifier) agreed(ctx context.Context, options *Options, u unsure) (told *news, over bool) {
	name := u.name.String()
	if !u.removed.IsZero() {
		if _, deleted := n.store.DeletedAt(u.name); !deleted {
			return nil, n.isVoid(u.name)
		}
		servers, err := n.client.Absent(ctx, u.name, options.Timeout)
		if err != nil {
			return nil, false
		}
		return &news{name: name, removed: u.removed, servers: servers}, false
	}
	var copies []cluster.Copy
	var err error
	if !u.states[len(u.states)-1].OnDemand { // else it is this server's alone
		copies, err = n.client.Copies(ctx, u.name, options.Timeout)
	}
	if err == nil {
		if s := confirmed(u.states, copies); s != nil {
			told = &news{name: name, snap: s}
			for _, c := range copies {
				told.servers = append(told.servers, c.Server)
			}
			return told, false
		}
	}
	_, gone := n.store.Get(u.name)
	return nil, errors.Is(gone, mirror.ErrUnknown) // not by a DELETE: it may come back
}

// isVoid reports whether the removal of a mirror is nothing to tell of any more: somebody has put it back by hand, or
// nobody remembers that it was removed. A fault of the storage does not mean that.
func (n *Notifier) isVoid(name storage.Name) bool {
	_, gone := n.store.Get(name)
	_, forgotten := n.dir.Tombstone(name)
	return n.dir.CheckOwned() == nil && (gone == nil || errors.Is(forgotten, fs.ErrNotExist))
}

// Stats are what is measured.
type Stats struct {
	Unconfirmed int // mirrors that have changed, and not all servers are known to have it
	Targets     []TargetStats
}

// add adds the statistics of a target to those of one that is shown alike.
func (s *Stats) add(t TargetStats) {
	i := slices.IndexFunc(s.Targets, func(other TargetStats) bool { return other.Target.shown == t.Target.shown })
	if i < 0 {
		s.Targets = append(s.Targets, t)
		return
	}
	one := &s.Targets[i]
	one.Waiting += t.Waiting
	one.Sent, one.Failed, one.Dropped = one.Sent+t.Sent, one.Failed+t.Failed, one.Dropped+t.Dropped
}

// TargetStats are what is measured of one target.
type TargetStats struct {
	Target  Target
	Waiting int // deliveries on their way, and those behind them
	counts
}

// Stats returns what is measured.
func (n *Notifier) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Stats{Unconfirmed: len(n.unsure)}
	for _, t := range n.tellers {
		s.add(t.stats())
	}
	return s
}

// Telling is what is known of what a target was told of a mirror.
type Telling struct {
	Target string
	At     time.Time // when it has accepted the latest delivery; zero for never
	Since  time.Time // since when a delivery is on its way; zero if none is
	Fault  string    // why it was not accepted the last time; empty if it was not tried
}

// Told returns what the targets were told of a mirror, and whether there is news of it that not all servers
// are known to have.
func (n *Notifier) Told(name storage.Name) (all []Telling, unconfirmed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.tellers {
		all = append(all, t.told(name.String()))
	}
	return all, n.unsure[name.String()] != nil
}

// known are the mirrors that have changed, by name, as they are known now.
func (n *Notifier) known() map[string]unsure {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := make(map[string]unsure, len(n.unsure))
	for name, u := range n.unsure {
		known[name] = *u
	}
	return known
}
