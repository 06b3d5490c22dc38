package ondemand

// countKey is what is counted: of a table, what has happened, and why.
type countKey struct {
	prefix string
	what   event
	why    Reason
}

type event int

const (
	eviction event = iota
	refusal
)

// TableStats is what the keeper has counted for a table since it was made, and what the table takes now.
type TableStats struct {
	Prefix    string
	Quota     int64 // bytes; 0 for any number
	Mirrors   int   // that reads have made
	Bytes     int64 // which they take on disk
	Trash     int64 // bytes that such mirrors take in the trash
	Evictions map[Reason]uint64
	Refusals  map[Reason]uint64 // of mirrors for which there was no room, and of too large ones
}

// Stats returns the statistics of all tables.
func (k *Keeper) Stats() (all []TableStats) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, rule := range k.tables.Load().Rules() {
		s := TableStats{
			Prefix: rule.Prefix, Quota: rule.Quota,
			Evictions: map[Reason]uint64{Idle: 0, ForRoom: 0, Over: 0, Damaged: 0}, Refusals: map[Reason]uint64{ForRoom: 0, Over: 0},
		}
		for key, n := range k.counts {
			switch {
			case key.prefix != rule.Prefix:
			case key.what == eviction:
				s.Evictions[key.why] = n
			default:
				s.Refusals[key.why] = n
			}
		}
		for _, one := range k.look(rule) {
			if one.trashed {
				s.Trash += one.bytes
			} else {
				s.Mirrors, s.Bytes = s.Mirrors+1, s.Bytes+one.bytes
			}
		}
		all = append(all, s)
	}
	return all
}
