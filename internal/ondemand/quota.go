package ondemand

import (
	"cmp"
	"slices"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// item is a mirror that a read has made, or one in the trash.
type item struct {
	name    storage.Name
	trashed bool
	bytes   int64         // on disk
	unused  time.Duration // since somebody read it last; in the trash, since it was moved there
	broken  bool          // it cannot be read because of what is in it
	over    bool          // it is larger than max_size
	kept    bool          // it is in use, and must stay

	// What it is, of which the decision knows nothing.
	mirror *mirror.Mirror // nil for one in the trash
	entry  storage.Trashed
}

// need is what the mirrors of a table, and their trash, must keep to.
type need struct {
	quota int64         // bytes on disk for all of them; 0 for any number
	more  int64         // bytes of it that something else is about to take
	idle  time.Duration // after which a mirror goes that nobody reads; 0 for never
}

// Reason is why a mirror was removed that a read had made.
type Reason string

// The reasons for which a mirror is removed.
const (
	Idle    Reason = "idle"     // nobody has read it for the time that its table says
	ForRoom Reason = "room"     // others needed its room
	Over    Reason = "max_size" // the same, and it was the first because it was too large
	Damaged Reason = "broken"   // the same, and it was the first because it cannot be read
)

// removal is a decision about one of the items.
type removal struct {
	index int
	why   Reason
}

// choose decides what goes, in this order: of the trash the oldest, then mirrors that are broken,
// then mirrors that are too large, then those that nobody has read for the longest time, until all that stay fit; and mirrors that are
// idle, which only go to the trash. enough is false if those that can go are not enough: then all of
// them are in the list.
func choose(items []item, n need) (goes []removal, enough bool) {
	order := make([]int, 0, len(items))
	used := n.more
	for i, one := range items {
		used += one.bytes
		if !one.kept {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return items[a].compare(items[b]) })
	for _, i := range order {
		one := items[i]
		switch {
		case n.quota > 0 && used > n.quota:
			used -= one.bytes
			goes = append(goes, removal{i, one.reason()})
		case n.idle > 0 && !one.trashed && one.unused >= n.idle:
			goes = append(goes, removal{i, Idle})
		}
	}
	return goes, n.quota == 0 || used <= n.quota
}

// compare is negative if the item goes before another one.
func (a item) compare(b item) int {
	return cmp.Or(rank(b.trashed, a.trashed), rank(b.broken, a.broken), rank(b.over, a.over), cmp.Compare(b.unused, a.unused), a.name.Compare(b.name))
}

// rank orders what is not so before what is.
func rank(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// reason is why an item goes that must make room.
func (a item) reason() Reason {
	switch {
	case a.trashed:
		return ForRoom
	case a.broken:
		return Damaged
	case a.over:
		return Over
	default:
		return ForRoom
	}
}
