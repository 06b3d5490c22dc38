package insight

import (
	"context"
	"fmt"
	"time"
)

// Version is what a page depends on.
type Version struct {
	epoch                string // of this start
	mirrors, moves, news uint64
}

func (v Version) String() string {
	return fmt.Sprintf("%.8s-%d-%d-%d", v.epoch, v.mirrors, v.moves, v.news)
}

// Version returns the version that a page has which is read from now on.
func (i *Insight) Version() Version {
	news, _ := i.Observer.News()
	return Version{i.Epoch, i.Store.Generation(), i.Store.Moves(), news}
}

// Bounds of requests that wait for news.
const (
	maxWatch    = 30 * time.Second // for which one waits
	maxWatchers = 512              // that wait at once, or 1/32 of the descriptors
	lookPause   = 2 * time.Second  // after news that were none for the one who waits
)

// takePlace takes a place for a request that waits, if there is one.
func (i *Insight) takePlace() bool {
	return i.watchers.Take(int(min(maxWatchers, i.Descriptors/32)))
}

// AwaitNews waits until a page with that version is not the current one any more, for as long as
// wait, until ctx ends, or until closing is closed. It has the other servers asked meanwhile. If too many
// wait already, it does not.
func (i *Insight) AwaitNews(ctx context.Context, closing <-chan struct{}, version Version, wait time.Duration) {
	if !i.takePlace() {
		return
	}
	defer i.watchers.Release()
	over := time.NewTimer(min(wait, maxWatch))
	defer over.Stop()
	look := time.NewTicker(LookEvery)
	defer look.Stop()
	for {
		i.Observer.Look(ctx)
		news, changed := i.Observer.News()
		if news != version.news {
			return
		}
		select {
		case <-look.C:
		case <-changed:
			return
		case <-i.Store.After(version.mirrors):
			return
		case <-i.Store.AfterMoves(version.moves):
			return
		case <-over.C:
			return
		case <-closing:
			return
		case <-ctx.Done():
			return
		}
	}
}

// AwaitChange is for what depends on more than a Version. It calls look when this server's own mirrors
// are not those of that version any more, and every LookEvery for what announces no changes, until look
// reports a change, for as long as wait, until ctx ends, or until closing is closed. If too many wait
// already, it does not.
func (i *Insight) AwaitChange(ctx context.Context, closing <-chan struct{}, version Version, wait time.Duration, look func() bool) {
	if !i.takePlace() {
		return
	}
	defer i.watchers.Release()
	over := time.NewTimer(min(wait, maxWatch))
	defer over.Stop()
	goesOn := func(mirrors, moves <-chan struct{}, pause time.Duration) bool {
		paused := time.NewTimer(pause)
		defer paused.Stop()
		select {
		case <-mirrors:
		case <-moves:
		case <-paused.C:
		case <-over.C:
			return false
		case <-closing:
			return false
		case <-ctx.Done():
			return false
		}
		return true
	}
	for goesOn(i.Store.After(version.mirrors), i.Store.AfterMoves(version.moves), LookEvery-lookPause) {
		version = i.Version() // before it looks
		if look() || !goesOn(nil, nil, lookPause) {
			return
		}
	}
}
