package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/cluster"
	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/housekeeping"
	"github.com/reconquest/sould/internal/insight"
	"github.com/reconquest/sould/internal/manifest"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/notify"
	"github.com/reconquest/sould/internal/ondemand"
	"github.com/reconquest/sould/internal/pack"
	"github.com/reconquest/sould/internal/propagate"
	"github.com/reconquest/sould/internal/spool"
	"github.com/reconquest/sould/internal/status"
	"github.com/reconquest/sould/internal/storage"
)

// mirrors is the mirror manager: it wires what keeps mirrors, and has what requests ask.
type mirrors struct {
	dir        *storage.Dir
	store      *mirror.Store
	finder     *ondemand.Finder
	room       *ondemand.Keeper
	cache      *spool.Cache // of archives and packs
	archives   *archive.Cache
	packs      *pack.Maker
	prefetch   *archive.Prefetcher
	keeper     *housekeeping.Keeper
	client     *cluster.Client
	reconciler *cluster.Reconciler
	notifier   *notify.Notifier
	propagator *propagate.Propagator
	insight    *insight.Insight
	status     *status.Reporter
	manifest   *manifest.Maker
	set        func() *settings // in force now
	release    string           // of sould

	life context.Context
	work sync.WaitGroup // what goes on without a request
}

// newMirrors makes the mirrors of a directory. Work on them ends with life. epoch tells this
// process from all others, and release is that of sould.
func newMirrors(
	life context.Context, dir *storage.Dir, epoch, release string, log *slog.Logger, first *settings, current func() *settings,
) (*mirrors, error) {
	ms := &mirrors{dir: dir, set: current, life: life, release: release}
	var err error
	if ms.cache, err = spool.Open(dir.Own("cache"), first.CacheSize); err != nil {
		return nil, err
	}
	ms.archives = archive.NewCache(ms.cache, dir.Neutral, first.archiveOptions())
	ms.packs = pack.NewMaker(ms.cache, ms.archives, log)
	ms.packs.Resize(first.MaxClones)
	ms.packs.Offers.Configure(first.BundleFrom, first.CacheSize)
	ms.prefetch = archive.NewPrefetcher(ms.archives, log)
	ms.keeper = housekeeping.NewKeeper(dir, log, first.keeperOptions())
	ms.client = cluster.NewClient(dir.ID, epoch, log, first.clusterOptions())
	ms.room = ondemand.NewKeeper(dir, log, first.tables)
	ms.store = mirror.NewStore(life, mirror.Parts{
		Dir: dir, Log: log, Fallback: cluster.NewFallback(ms.client), Changed: ms.changed, Removed: ms.removed, Spool: ms.cache,
		MaxLists: conn.ListBound(conn.DescriptorLimit()), Room: ms.room,
	}, first.mirrorOptions())
	ms.room.Manage(ms.store)
	ms.finder = ondemand.NewFinder(life, ms.store, ms.room, first.makerOptions())
	ms.notifier = notify.New(dir, ms.store, ms.client, log, first.notifyOptions(release))
	ms.reconciler = cluster.NewReconciler(life, ms.store, ms.client, log, ms.notifier.Settled)
	ms.propagator = propagate.New(propagate.Parts{
		ID: dir.ID, Life: life, Store: ms.store, Client: ms.client, Log: log,
		Missed: ms.reconciler.Missed, Settled: ms.notifier.Settled, Purge: ms.cache.Purge,
	})
	ms.insight = &insight.Insight{
		Dir: dir, Store: ms.store, Observer: cluster.NewObserver(life, ms.client), Reconciler: ms.reconciler, Notifier: ms.notifier, Room: ms.room,
		Epoch: epoch, Descriptors: conn.DescriptorLimit(),
	}
	ms.status = &status.Reporter{
		Dir: dir, Store: ms.store, Archives: ms.archives, Packs: ms.packs, Client: ms.client, Epoch: epoch, Release: release,
		Life:     life,
		OnDemand: ms.room.State,
	}
	ms.manifest = manifest.NewMaker(ms.store)
	return ms, nil
}

// run begins what goes on without a request.
func (ms *mirrors) run() {
	ms.work.Go(ms.store.Watch)
	ms.work.Go(func() { ms.prefetch.Run(ms.life) })
	ms.work.Go(func() { ms.packs.Prefetcher.Run(ms.life) })
	ms.work.Go(func() { ms.packs.Offers.Run(ms.life, ms.store.Ready(), ms.store.All) })
	ms.work.Go(func() { ms.archives.Run(ms.life) })
	ms.work.Go(func() { ms.keeper.Run(ms.life, ms.store) })
	ms.work.Go(func() { ms.room.Run(ms.life) })
	ms.work.Go(func() { ms.client.FindItself(ms.life) })
	ms.work.Go(func() { ms.notifier.Run(ms.life) })
	ms.reconciler.Configure()
}

// configure puts settings in force.
func (ms *mirrors) configure(set *settings) {
	ms.packs.Resize(set.MaxClones)
	ms.packs.Offers.Configure(set.BundleFrom, set.CacheSize)
	ms.client.Configure(set.clusterOptions())
	ms.work.Go(func() { ms.client.FindItself(ms.life) })
	ms.store.Configure(set.mirrorOptions())
	ms.finder.Configure(set.makerOptions())
	ms.room.Configure(set.tables)
	ms.keeper.Configure(set.keeperOptions())
	ms.reconciler.Configure()
	ms.notifier.Configure(set.notifyOptions(ms.release))
	ms.store.Wake()
	ms.archives.Configure(set.archiveOptions())
	ms.cache.Resize(set.CacheSize) // the last: it may remove many files
}

// close waits for all work, which has to end since life has.
func (ms *mirrors) close() error {
	err := ms.cache.Close()
	ms.work.Wait()
	ms.reconciler.Wait()
	ms.insight.Observer.Wait()
	ms.finder.Wait()
	ms.status.Wait()
	ms.manifest.Wait()
	ms.store.Wait()
	ms.client.Close()
	return err
}

// changed is told of every pull that has changed a mirror or, without a before, has built it.
func (ms *mirrors) changed(m *mirror.Mirror, before, after *mirror.Snapshot) {
	if before != nil {
		ms.prefetch.Changed(m, before, after, ms.set().ExportSubst)
	}
	ms.packs.Prefetcher.Changed(m, after)
	ms.packs.Offers.Changed(m)
	ms.keeper.Changed(m)
	ms.notifier.Changed(m, before, after)
	if after.OnDemand {
		ms.room.Wake()
	}
}

// removed is told of every mirror that somebody has removed.
func (ms *mirrors) removed(name storage.Name, at time.Time) { ms.notifier.Removed(name, at) }

// revision finds the revision that a GET asks for, and pulls for it if the client says what it
// must contain and it does not; came is when the request did. Its snapshot is valid also if there is an error.
func (ms *mirrors) revision(ctx context.Context, m *mirror.Mirror, req archive.Request, came time.Time) (archive.Revision, error) {
	rev, err := archive.Resolve(ctx, m, req.Want.Ref)
	if req.Contains == "" {
		return rev, err
	}
	if err == nil { // if not, it may be there after a pull
		if ok, err := m.Contains(ctx, rev.Commit, req.Contains); ok || err != nil {
			return rev, err
		}
	}
	m.EnsureCommit(ctx, req.Contains, came)
	if rev, err = archive.Resolve(ctx, m, req.Want.Ref); err != nil {
		return rev, err
	}
	ok, err := m.Contains(ctx, rev.Commit, req.Contains)
	if err == nil && !ok {
		err = fail(kindUnsatisfied, "the revision %s does not contain %s", rev.Commit, req.Contains)
	}
	return rev, err
}
