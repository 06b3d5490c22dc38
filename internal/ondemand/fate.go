package ondemand

import (
	"slices"
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// Removed says when and why a mirror was removed that a read had made.
type Removed struct {
	At     time.Time
	Why    Reason
	Unused time.Duration // for how long nobody had read it
	Size   int64         // on disk, in bytes
}

// removals are the latest ones, for people who ask where a mirror is.
type removals struct {
	of    map[storage.Name]Removed
	order []storage.Name // the oldest first
}

// maxRemovals is how many removals are remembered.
const maxRemovals = 1000

func newRemovals() *removals { return &removals{of: make(map[storage.Name]Removed)} }

func (r *removals) add(name storage.Name, what Removed) {
	r.forget(name)
	if len(r.order) >= maxRemovals {
		r.forget(r.order[0])
	}
	r.of[name] = what
	r.order = append(r.order, name)
}

func (r *removals) forget(name storage.Name) {
	if _, known := r.of[name]; known {
		delete(r.of, name)
		r.order = slices.DeleteFunc(r.order, func(other storage.Name) bool { return other == name })
	}
}

// Fate is what becomes of a mirror that a read has made, or has become of it.
type Fate struct {
	Rule    Rule          // the table of its name; without a Prefix if there is none
	Kept    bool          // it is one that a read has made, and is held to the bounds of its table
	Read    time.Time     // when somebody read it last; zero if that is not known
	Unused  time.Duration // for how long nobody has read it while a sould ran
	Size    int64         // on disk, in bytes
	Over    bool          // it is larger than max_size, and the next to go
	Used    int64         // bytes on disk of all mirrors that reads have made by this table, and of their trash
	Removed Removed       // the latest removal, if it is not there any more; else zero
}

// Fate tells what becomes of the mirror of a name.
func (k *Keeper) Fate(name storage.Name) (f Fate) {
	f.Rule, _, _ = k.tables.Load().Find(name)
	k.mu.Lock()
	defer k.mu.Unlock()
	f.Removed = k.removed.of[name]
	m, err := k.store.Get(name)
	if err != nil || f.Rule.Prefix == "" {
		return f
	}
	f.Removed = Removed{}
	now := time.Now()
	one, ok := k.itemOf(m, f.Rule, now)
	if !ok {
		return f
	}
	f.Kept, f.Size, f.Over, f.Unused, f.Read = true, one.bytes, one.over, one.unused, k.lastRead(m)
	for _, one := range k.look(f.Rule) {
		f.Used += one.bytes
	}
	return f
}

// State tells of a mirror that a read has made when somebody read it last, also before a restart, and
// whether it was larger than its table permits when it was last measured. read is zero if that is not
// known.
func (k *Keeper) State(m *mirror.Mirror) (read time.Time, tooLarge bool) {
	rule, _, _ := k.tables.Load().Find(m.Name)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lastRead(m), rule.MaxSize > 0 && k.sizes[m.Name].bytes > rule.MaxSize
}

// lastRead returns when somebody read a mirror last; zero if that is not known. The caller holds k.mu.
func (k *Keeper) lastRead(m *mirror.Mirror) time.Time {
	if last := m.LastRead(); !last.IsZero() {
		return last
	}
	return k.reads.of[m.Name].date
}
