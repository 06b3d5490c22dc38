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
	found                uint64 // by discovery
}

func (v Version) String() string {
	return fmt.Sprintf("%.8s-%d-%d-%d-%d", v.epoch, v.mirrors, v.moves, v.news, v.found)
}

// Version returns the version that a page has which is read from now on.
func (i *Insight) Version() Version {
	news, _ := i.Observer.News()
	return Version{i.Epoch, i.Store.Generation(), i.Store.Moves(), news, i.Discovery.Generation()}
}

// Bounds of requests that wait for news.
const (
	MaxWatch    = time.Minute // for which one waits
	maxWatchers = 2048        // that wait at once, or 1/32 of the descriptors
)

// TakePlace takes a place for a request that waits, if there is one, which is to be given back by LeavePlace.
func (i *Insight) TakePlace() bool {
	return i.watchers.Take(int(min(maxWatchers, i.Descriptors/32)))
}

// LeavePlace gives back a place.
func (i *Insight) LeavePlace() { i.watchers.Release() }

// awaitNews waits until a page with that version is not the current one any more, for as long as
// wait, until ctx ends, or until closing is closed. It has the other servers asked meanwhile. If too many
// wait already, it does not.
func (i *Insight) awaitNews(ctx context.Context, closing <-chan struct{}, version Version, wait time.Duration) {
	if !i.TakePlace() {
		return
	}
	defer i.LeavePlace()
	over := time.NewTimer(min(wait, MaxWatch))
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
		case <-i.Discovery.After(version.found):
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
