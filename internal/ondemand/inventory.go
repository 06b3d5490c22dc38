package ondemand

import (
	"time"

	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

// look looks at all mirrors of a table, and at its trash. The caller holds k.mu.
func (k *Keeper) look(rule Rule) (items []item) {
	now := time.Now()
	for _, m := range k.store.All() {
		if one, ok := k.itemOf(m, rule, now); ok {
			items = append(items, one)
		}
	}
	entries, err := k.dir.Trash()
	if err != nil {
		k.log.Error("can't read the trash", "err", err)
	}
	for _, t := range entries {
		if found, _, ok := k.tables.Load().Find(t.Name); !ok || found.Prefix != rule.Prefix {
			continue
		}
		if known := k.inTrash(t); known.onDemand {
			items = append(items, item{name: t.Name, trashed: true, bytes: known.bytes, unused: now.Sub(t.At), entry: t})
		}
	}
	return items
}

// itemOf is a mirror that a read has made below the prefix of a rule. The caller holds k.mu.
func (k *Keeper) itemOf(m *mirror.Mirror, rule Rule, now time.Time) (one item, ok bool) {
	snap := m.Snapshot()
	if !m.IsOnDemand() {
		return one, false
	}
	if found, _, ok := k.tables.Load().Find(m.Name); !ok || found.Prefix != rule.Prefix {
		return one, false
	}
	k.reads.observe(m.Name, m.LastRead(), now)
	bytes := k.sizeOf(m, snap)
	return item{
		name: m.Name, bytes: bytes, unused: k.reads.unused(m.Name, now),
		broken: m.IsBroken(), over: rule.MaxSize > 0 && bytes > rule.MaxSize, kept: m.InUse(quiet), mirror: m,
	}, true
}

// sizeOf measures a mirror, if it has changed since that was done. The caller holds k.mu.
func (k *Keeper) sizeOf(m *mirror.Mirror, snap *mirror.Snapshot) int64 {
	known, packs := k.sizes[m.Name], m.Size()
	if known.mirror == m && known.snapshot == snap && known.packs == packs {
		return known.bytes
	}
	bytes, err := m.Usage()
	if err != nil {
		bytes = max(bytes, packs)
	}
	k.sizes[m.Name] = measured{m, snap, packs, bytes}
	return bytes
}

// inTrash finds out whether a mirror in the trash was made by a read, and measures it, once. The caller
// holds k.mu.
func (k *Keeper) inTrash(t storage.Trashed) trashed {
	known, ok := k.trash[t.Entry]
	if !ok {
		known.onDemand = k.store.WasOnDemand(t)
		if known.onDemand {
			known.bytes, _ = storage.Usage(t.Path)
		}
		k.trash[t.Entry] = known
	}
	return known
}
