package ondemand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconquest/sould/internal/durable"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/units"
)

// Keeper keeps mirrors that reads have made within the bounds of their tables: quota, max_size and
// idle. It implements [mirror.Room]. What it removes goes to the trash, without a tombstone, and, if
// its room is needed, from there as well. Its methods are safe for concurrent use.
type Keeper struct {
	dir    *storage.Dir
	log    *slog.Logger
	tables atomic.Pointer[Tables]
	store  *mirror.Store // set by Manage
	wake   chan struct{} // has an element when a bound may be exceeded

	mu      sync.Mutex // guards all below; held while room is made, so that nobody else counts on the same room
	reads   *readTimes
	sizes   map[storage.Name]measured
	trash   map[string]trashed // by the entry in the trash
	coming  map[*arrival]bool
	removed *removals
	counts  map[countKey]uint64
	full    map[string]time.Time   // since when there is no room below a prefix
	inVain  map[storage.Name]int64 // what those take on disk, in bytes, that were fetched, and for which there was no room then
}

// maxInVain is of how many mirrors it is remembered that they were fetched in vain.
const maxInVain = 1000

// measured is what a mirror takes on disk, and what it was when that was measured.
type measured struct {
	mirror   *mirror.Mirror
	snapshot *mirror.Snapshot
	packs    int64
	bytes    int64
}

// trashed is a mirror in the trash.
type trashed struct {
	onDemand bool
	bytes    int64
}

// arrival is a mirror for which room was made, and that is not in its place yet.
type arrival struct {
	prefix string
	bytes  int64
}

// NewKeeper returns the keeper of a directory. Manage must be called before it is used.
func NewKeeper(dir *storage.Dir, log *slog.Logger, tables Tables) *Keeper {
	k := &Keeper{
		dir: dir, log: log, wake: make(chan struct{}, 1),
		sizes: make(map[storage.Name]measured), trash: make(map[string]trashed), coming: make(map[*arrival]bool),
		removed: newRemovals(), counts: make(map[countKey]uint64), full: make(map[string]time.Time), inVain: make(map[storage.Name]int64),
	}
	k.reads = k.load()
	k.Configure(tables)
	return k
}

// Manage says whose mirrors the keeper keeps.
func (k *Keeper) Manage(store *mirror.Store) { k.store = store }

// Configure puts tables in force.
func (k *Keeper) Configure(tables Tables) {
	k.tables.Store(&tables)
	k.Wake()
}

// Wake makes Run look at once for what exceeds its bounds.
func (k *Keeper) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// quiet is how long after its latest read a mirror does not go to make room: a clone asks twice, and if
// the mirror were gone in between, it would be made again.
const quiet = 2 * time.Second

// Limit is the most that a mirror may take that a read makes: max_size, but no more than the quota.
func (k *Keeper) Limit(name storage.Name) int64 {
	rule, _, _ := k.tables.Load().Find(name)
	return rule.limit()
}

func (r Rule) limit() int64 {
	if r.MaxSize == 0 || r.Quota > 0 && r.Quota < r.MaxSize {
		return r.Quota
	}
	return r.MaxSize
}

// NoRoom means that a mirror cannot be made now, because the quota of its table is full.
type NoRoom struct {
	Prefix string
	Why    string
}

func (n *NoRoom) Error() string {
	return fmt.Sprintf("there is no room for another mirror below %s: %s", n.Prefix, n.Why)
}

// Is makes a NoRoom a mirror.ErrNoRoom.
func (n *NoRoom) Is(target error) bool { return target == mirror.ErrNoRoom }

// Room makes sure that there is some room for one more mirror, before it is fetched; if it was fetched in vain
// before, that there is as much as it took. The error is a *NoRoom.
func (k *Keeper) Room(name storage.Name) error {
	rule, _, _ := k.tables.Load().Find(name)
	if rule.Quota == 0 {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	more := k.inVain[name]
	if more > rule.limit() { // the table has changed
		more = 0
	}
	return k.makeRoom(rule, max(more, 1))
}

// Take makes room for a mirror that was fetched. The error is a *mirror.TooLarge or a *NoRoom.
func (k *Keeper) Take(name storage.Name, size int64) (done func(), err error) {
	rule, _, ok := k.tables.Load().Find(name)
	if !ok {
		return func() {}, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if limit := rule.limit(); limit > 0 && size > limit {
		return nil, &mirror.TooLarge{Limit: limit}
	}
	if rule.Quota > 0 {
		if err := k.makeRoom(rule, size); err != nil {
			if len(k.inVain) >= maxInVain {
				clear(k.inVain)
			}
			k.inVain[name] = size
			return nil, err
		}
	}
	delete(k.inVain, name)
	a := &arrival{rule.Prefix, size}
	k.coming[a] = true
	k.removed.forget(name)
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.coming, a)
	}, nil
}

// Exceeded is told of a transfer that was ended because more arrived than Limit permits.
func (k *Keeper) Exceeded(name storage.Name) {
	if rule, _, ok := k.tables.Load().Find(name); ok {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.counts[countKey{rule.Prefix, refusal, Over}]++
	}
}

// makeRoom removes what must go so that so many bytes more fit into the quota. If they do not fit in any
// case, nothing is removed. The caller holds k.mu.
func (k *Keeper) makeRoom(rule Rule, more int64) error {
	err := k.tryRoom(rule, more)
	if err == nil {
		delete(k.full, rule.Prefix)
		return nil
	}
	if k.full[rule.Prefix].IsZero() {
		k.full[rule.Prefix] = time.Now()
		k.log.Warn("no room for another mirror on demand", "prefix", rule.Prefix, "quota", units.FormatSize(rule.Quota), "err", err)
	}
	k.counts[countKey{rule.Prefix, refusal, ForRoom}]++
	return err
}

func (k *Keeper) tryRoom(rule Rule, more int64) error {
	if !k.store.IsReady() {
		return &NoRoom{rule.Prefix, "the server still reads its storage, and does not know what is there"}
	}
	items := k.look(rule)
	n := need{quota: rule.Quota, more: more + k.arriving(rule)}
	for {
		goes, enough := choose(items, n)
		if !enough {
			return &NoRoom{rule.Prefix, fmt.Sprintf("its quota of %s is full of mirrors that are in use. Raise quota in the configuration, or come again",
				units.ShortSize(rule.Quota))}
		}
		if k.carryOut(rule, items, goes) {
			return nil
		}
	}
}

// arriving are the bytes for which room was made, and that are not in their place. The caller holds k.mu.
func (k *Keeper) arriving(rule Rule) (bytes int64) {
	for a := range k.coming {
		if a.prefix == rule.Prefix {
			bytes += a.bytes
		}
	}
	return bytes
}

// carryOut removes what was chosen. ok is false if something could not be removed, which is marked as
// kept. The caller holds k.mu.
func (k *Keeper) carryOut(rule Rule, items []item, goes []removal) (ok bool) {
	ok = true
	for _, r := range goes {
		one := &items[r.index]
		err := k.remove(rule, one, r.why)
		if err != nil {
			ok = false
		}
		if err != nil && !errors.Is(err, mirror.ErrInUse) {
			k.log.Error("can't remove a mirror that was made on demand", "mirror", one.name, "err", err)
		}
		if one.kept = true; err == nil && r.why != Idle {
			one.bytes = 0
		}
	}
	return ok
}

// remove carries out one decision. The caller holds k.mu.
func (k *Keeper) remove(rule Rule, one *item, why Reason) error {
	if one.trashed {
		return k.discard(one.entry)
	}
	within := quiet
	if why == Idle {
		within = rule.Idle // of this process's time
	}
	entry, err := k.store.Retire(one.mirror, within)
	if err != nil {
		return err
	}
	k.counts[countKey{rule.Prefix, eviction, why}]++
	k.removed.add(one.name, Removed{At: time.Now(), Why: why, Unused: one.unused, Size: one.bytes})
	k.log.Info("removed a mirror that was made on demand", "mirror", one.name, "why", why, "unused", units.FormatSpan(one.unused),
		"size", units.ShortSize(one.bytes), "trash", entry)
	delete(k.sizes, one.name)
	k.trash[entry] = trashed{true, one.bytes}
	if why == Idle {
		return nil
	}
	return k.discard(storage.Trashed{Entry: entry})
}

// discard removes a mirror from the trash.
func (k *Keeper) discard(t storage.Trashed) error {
	err := k.dir.RemoveTrashed(t)
	if err == nil {
		delete(k.trash, t.Entry)
	}
	return err
}

const (
	// savePeriod is how often the times of reads are written to disk, if there are new ones.
	savePeriod = 5 * time.Minute
	// longestPoll is the longest time between two looks for what exceeds its bounds.
	longestPoll = time.Minute
)

// pollInterval is how often the keeper looks: a sixteenth of the shortest idle time, from one second to
// longestPoll.
func pollInterval(rules []Rule) time.Duration {
	pause := longestPoll
	for _, r := range rules {
		if r.Idle > 0 {
			pause = min(pause, r.Idle/16)
		}
	}
	return max(pause, time.Second)
}

// Run keeps the bounds until ctx ends: it removes what is idle, and what pulls have made too large.
func (k *Keeper) Run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return // of no mirror is anything known
	case <-k.store.Ready():
	}
	saved := time.Now()
	for ctx.Err() == nil {
		k.poll()
		if time.Since(saved) >= savePeriod {
			k.save()
			saved = time.Now()
		}
		next := time.NewTimer(pollInterval(k.tables.Load().Rules()))
		select {
		case <-ctx.Done():
		case <-k.wake:
		case <-next.C:
		}
		next.Stop()
	}
	k.poll()
	k.save()
}

// poll looks at all tables once.
func (k *Keeper) poll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, rule := range k.tables.Load().Rules() {
		items := k.look(rule)
		if rule.Quota == 0 && rule.Idle == 0 {
			continue
		}
		for {
			goes, _ := choose(items, need{quota: rule.Quota, more: k.arriving(rule), idle: rule.Idle})
			if k.carryOut(rule, items, goes) {
				break
			}
		}
	}
	k.forget()
}

// forget drops what is known of mirrors that are gone, from here and from the trash. The caller holds
// k.mu.
func (k *Keeper) forget() {
	names := make(map[storage.Name]bool)
	for _, m := range k.store.All() {
		names[m.Name] = true
	}
	k.reads.keep(names)
	for name := range k.sizes {
		if !names[name] {
			delete(k.sizes, name)
		}
	}
	entries, err := k.dir.Trash()
	if err != nil {
		return
	}
	here := make(map[string]bool)
	for _, t := range entries {
		here[t.Entry] = true
	}
	for entry := range k.trash {
		if !here[entry] {
			delete(k.trash, entry)
		}
	}
}

// file is where the times of reads survive a restart.
func (k *Keeper) file() string { return k.dir.Own("reads") }

// load reads the times of reads. Without a file, or with one that cannot be read, nothing is known.
func (k *Keeper) load() *readTimes {
	text := ""
	f, err := os.Open(k.file())
	if err == nil {
		defer f.Close()
		var content []byte
		content, err = io.ReadAll(io.LimitReader(f, maxReadTimes))
		text = string(content)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		k.log.Error("can't read when mirrors were last read", "err", err)
	}
	return parseReadTimes(text, time.Now())
}

// save writes the times of reads to disk, if there is something new.
func (k *Keeper) save() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.reads.of) == 0 && !k.reads.fresh {
		return
	}
	text := k.reads.encode(time.Now())
	if err := durable.WriteFile(k.file(), k.file()+".new", text, 0o600); err != nil {
		k.log.Error("can't write when mirrors were last read", "err", err)
	}
}
